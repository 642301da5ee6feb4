#!/bin/sh
# Installs the cell's agent and starts it. Run again, it leaves alone what is
# there and what runs. The unit of a cell with systemd also starts the agent
# after a reboot, when /tmp/itzo may be gone. The agent installs and configures
# containerd; where a user's commands have started an agent too, this one waits.
conf=/tmp/itzo
lib=/usr/local/lib/itzo
agent=/usr/local/bin/itzo
log=/var/log/itzo/itzo.log
patience=300 # seconds of silence about downloads that fail

say() {
	echo "itzo: $*" | tee -a "$log"
	{ echo "itzo: $*" >/dev/console; } 2>/dev/null
}

die() {
	say "$*; this cell will not run pods"
	exit 1
}

fetch() {
	if command -v curl >/dev/null; then
		curl -fsSL --connect-timeout 10 --max-time 120 -o "$2" "$1"
	else
		wget -q -T 30 -O "$2" "$1"
	fi
}

# A digest is checked where the user data holds one.
checked() {
	want=$(sed -n "s/  $1-$arch\$//p" $conf/sha256sums 2>/dev/null)
	[ -z "$want" ] && return
	is=$(sha256sum "$lib/$1.new") && [ "${is%% *}" = "$want" ] || {
		echo "its SHA-256 digest is ${is%% *}, itzo.sha256 of the class says $want"
		return 1
	}
}

# For as long as it takes: what serves the agent may come back.
download() {
	from=$url/$1-$version-$arch pause=1 said= next=0
	until problem=$(fetch "$from" "$lib/$1.new" 2>&1 && checked "$1" 2>&1); do
		now=$(date +%s) kind=$(echo "$problem" | sed 's/ after [0-9]* m[a-z]*//')
		if [ "$kind" != "$said" ] || [ "$now" -ge "$next" ]; then
			say "cannot download $from yet, and goes on trying: $problem"
			said=$kind next=$((now + patience))
		fi
		sleep "$pause"
		[ "$pause" -ge 30 ] || pause=$((pause * 2))
	done
	[ -z "$said" ] || say "downloaded $from"
	chmod 0755 "$lib/$1.new" && mv -f "$lib/$1.new" "$lib/$1" || die "cannot install $lib/$1"
}

# Whether a version is the one asked for or a later one, whatever its build.
new_enough() {
	[ -z "$version" ] || [ "$1" = "$version" ] && return
	has=${1#v} least=${version#v}
	has=${has%%[-+]*} least=${least%%[-+]*}
	case ,$has,$least, in *,,* | *[!0-9.,]*) return 1 ;; esac
	[ "$has" = "$least" ] || [ "$(printf '%s\n' "$has" "$least" | sort -V 2>/dev/null | sed -n '$p')" = "$has" ]
}

# The agent finds pause, the program of a pod's sandbox, beside itself.
install_agent() {
	[ "$(cat "$lib/installed" 2>/dev/null)" = "$url $version" ] && return
	if found=$(command -v itzo) && [ ! -e "$lib/installed" ]; then
		if new_enough "$("$found" --version 2>/dev/null)"; then
			say "taking $found, which the image has"
			agent=$found
			return
		fi
	fi
	[ -n "$version" ] || die "the image has no itzo, and itzo.version of the class names none to download"
	command -v curl >/dev/null || command -v wget >/dev/null || die "the image has neither curl nor wget to download the agent with"
	download pause
	download itzo
	ln -sf "$lib/itzo" "$agent" && echo "$url $version" >"$lib/installed" || die "cannot install $agent"
}

start_with_systemd() {
	cat >/etc/systemd/system/itzo.service <<-UNIT
		[Unit]
		Description=Kip cell agent
		Wants=network-online.target containerd.service
		After=network-online.target containerd.service
		[Service]
		Environment=ITZO_WAIT_FOR_OTHER=1
		ExecStart=$agent
		Restart=always
		RestartSec=3
		KillMode=process
		OOMScoreAdjust=-900
		StandardOutput=append:$log
		StandardError=inherit
		[Install]
		WantedBy=multi-user.target
	UNIT
	systemctl daemon-reload && systemctl enable itzo && systemctl start itzo || die "systemd does not start the agent"
}

start_without_systemd() {
	pid=$(cat /run/itzo.pid 2>/dev/null) && kill -0 "$pid" 2>/dev/null && return
	setsid sh -c 'echo $$ >/run/itzo.pid; while :; do ITZO_WAIT_FOR_OTHER=1 "$0"; sleep 1; done' "$agent" </dev/null >>"$log" 2>&1 &
}

mkdir -p "$lib" "${agent%/*}" "${log%/*}"
# Images of the first Kip have a launcher of their own, which reads the same files.
if command -v itzo-launcher >/dev/null; then
	say "leaving the agent to itzo-launcher"
	exit
fi
case $(uname -m) in
x86_64) arch=amd64 ;;
aarch64) arch=arm64 ;;
*) die "there is no agent for a machine of type $(uname -m)" ;;
esac
url=$(cat $conf/itzo_url) version=$(cat $conf/itzo_version)
install_agent
if [ -d /run/systemd/system ]; then start_with_systemd; else start_without_systemd; fi
