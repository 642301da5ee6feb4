#!/bin/sh
# Unpacks Debian's cloud-init, and what it needs that this machine lacks, into a
# directory: tests lay it over the machine's root. Nothing is installed: at the
# next boot an installed cloud-init would set this machine up.
set -e
dir=$1
[ ! -e "$dir/done" ] || exit 0
command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] || {
	echo "cloud-init: neither root nor Debian; the tests that run it will be skipped"
	exit 0
}
echo "fetching cloud-init"
mkdir -p "$dir/debs/partial" "$dir/root"
fetch() {
	apt-get -qq -y --no-install-recommends --download-only -o Dir::Cache::archives="$dir/debs" install cloud-init
}
fetch 2>/dev/null || { apt-get -qq update && fetch; }
for deb in "$dir"/debs/*.deb; do dpkg -x "$deb" "$dir/root"; done
# As on this machine, where these are links into /usr.
for top in bin sbin lib; do
	[ ! -d "$dir/root/$top" ] || { mkdir -p "$dir/root/usr/$top" && cp -a "$dir/root/$top/." "$dir/root/usr/$top/" && rm -rf "$dir/root/$top"; }
done
rm -rf "$dir/debs"
touch "$dir/done"
