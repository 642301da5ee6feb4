#!/bin/sh
# Runs go, with a line now and then when that takes long, and one in all about the modules that it downloads.
# Usage: go.sh <what it does> <arguments of go>...
set -eu
what=$1
shift
said=$(mktemp)
tell() {
	begin=$(date +%s)
	wait=4
	trap 'kill "$!" 2>/dev/null; exit 0' TERM
	while sleep "$wait" & wait "$!" && kill -0 $$ 2>/dev/null; do
		wait=20
		modules=$(grep -c '^go: downloading' "$said" || true)
		[ "$modules" = 0 ] && modules= || modules=", modules downloaded: $modules"
		echo "$what: $(($(date +%s) - begin))s so far$modules"
	done
}
tell >&2 &
teller=$!
trap 'kill "$teller" 2>/dev/null; wait "$teller" || true; rm -f "$said"' EXIT
trap 'exit 130' INT TERM
code=0
go "$@" 2>"$said" || code=$?
grep -v '^go: downloading' "$said" >&2 || true
exit "$code"
