#!/bin/sh
# A PC/SC stack of its own, two cards in it, and the programs that read them:
#
#     unshare --mount --net --pid --fork --kill-child --mount-proc \
#         sh tests/pcsc/run.sh PYTHON PROGRAM FOLDER
#
# PYTHON has pyscard, PROGRAM is nfcwallet-sandbox, FOLDER takes what they write. Everything is in the
# namespaces of that unshare: nobody outside can reach vpcd, which listens on all interfaces, and whatever
# was started ends with this script, since it is the first process there.
set -eu
python=$1 program=$2 folder=$(realpath "$3")
here=$(dirname "$0")

# Only the first process of a namespace may go on: elsewhere this would hide the system's /run.
[ $$ -eq 1 ] || { echo "run.sh: start it as unshare's child, see above" >&2; exit 2; }

ip link set lo up
mount -t tmpfs none /run
mkdir /run/pcscd

mkdir -p "$folder/reader.conf.d"
cat >"$folder/reader.conf.d/vpcd" <<END
FRIENDLYNAME "Virtual PCD"
DEVICENAME /dev/null:0x8C7B
LIBPATH /usr/lib/pcsc/drivers/serial/libifdvpcd.so
CHANNELID 0x8C7B
END

# Waits for 30 s at most.
wait_until() {
    tries=300
    while ! eval "$1"; do
        tries=$((tries - 1))
        [ $tries -gt 0 ] || { echo "run.sh: $2 did not come up; see $folder" >&2; exit 1; }
        sleep 0.1
    done
}

pcscd --foreground --info --config "$folder/reader.conf.d" >"$folder/pcscd.log" 2>&1 &
wait_until '[ -S /run/pcscd/pcscd.comm ]' pcscd

# The cards are killed at the end and leave their folders behind.
export TMPDIR="$folder"
# Each of vpcd's two slots has its port.
"$program" card --vpcd 127.0.0.1:35963 --json --verbose >"$folder/card.jsonl" 2>"$folder/card.trace" &
"$program" card --vpcd 127.0.0.1:35964 --json --verbose --authenticate \
    >"$folder/authenticated.jsonl" 2>"$folder/authenticated.trace" &
for log in card authenticated; do
    wait_until 'grep -q inserted "$folder/$log.jsonl"' "the card of $log.jsonl"
done

"$python" -B "$here/read_card.py" "$folder/card.jsonl" "$folder/authenticated.jsonl"
