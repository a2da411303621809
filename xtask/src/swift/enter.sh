# Runs a command in the Debian root with Swift, in mounts of its own (unshare --mount).
#
# Arguments: the root, the repository, the folder for temporary files, the folder to work in, the command.
# Repository, temporary files, devices and the network are those of the machine. The mounts end with the
# command.
set -e
root=$1 repository=$2 temporary=$3 work=$4
shift 4
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
for folder in "$repository" "$temporary"; do
    mkdir -p "$root$folder"
    mount --bind "$folder" "$root$folder"
done
exec chroot "$root" sh -ec 'cd "$1"; shift; exec "$@"' sh "$work" "$@"
