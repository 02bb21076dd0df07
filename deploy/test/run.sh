#!/bin/sh
# Builds deploy/Dockerfile for real and tries the image, locked up as docs/container.md says. Needs root on Debian or
# Ubuntu, and what `npm ci` installs; it installs the Debian packages itself. No image registry is needed.
#
# WAKALA_IMAGE_CACHE    where stand-ins for the base images are kept, by default node_modules/.cache/image
# WAKALA_IMAGE_TEST     `chroot` tries without containers, as on a machine that can run none
#
# Nothing else is left behind. The last line is "N passed, N failed".
set -eu
cd "$(dirname "$0")/../.."

node=$PWD/node_modules/node/bin/node
cache=${WAKALA_IMAGE_CACHE:-$PWD/node_modules/.cache/image}
PATH=$PWD/node_modules/.bin:$PATH

fail() {
  echo "deploy/test: $1" >&2
  echo '0 passed, 1 failed'
  exit 1
}

[ "$(id -u)" = 0 ] || fail 'run it as root: containers and chroot need it here'
[ -x "$node" ] || fail 'run `npm ci` first'

packages=''
need() { # need PROGRAM-OR-FILE PACKAGE
  command -v "$1" >/dev/null || [ -e "$1" ] || packages="$packages $2"
}
need podman podman
need runc runc
need crun crun
need setpriv util-linux
need /usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
if [ -n "$packages" ]; then
  command -v apt-get >/dev/null || fail "install$packages"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  { apt-get -qq update && apt-get -qqy install --no-install-recommends $packages; } >&2 || fail "could not install$packages"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/wakala-image.XXXXXX")

# Ends what still runs in there, takes its mounts down, and removes it.
clean() {
  for settings in "$work"/*/containers.conf; do
    [ -e "$settings" ] || continue
    CONTAINERS_CONF=$settings CONTAINERS_STORAGE_CONF=${settings%/*}/storage.conf \
      podman rm --force --all >/dev/null 2>&1 || :
  done
  for process in /proc/[0-9]*; do
    case $(readlink "$process/root" 2>/dev/null) in
      "$work"/*) kill -KILL "${process#/proc/}" 2>/dev/null || : ;;
    esac
  done
  cut -d' ' -f5 /proc/self/mountinfo | grep "^$work/" | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null || :
  done
  rm -rf "$work"
}
main=
trap clean EXIT
trap '[ -z "$main" ] || { kill "$main" && wait "$main"; } 2>/dev/null || :; exit 1' HUP INT TERM

sh deploy/test/bases.sh "$cache" "$node" || fail 'the stand-ins for the base images could not be made'
# Beside this shell, which then hears of a signal at once.
node deploy/test/main.ts "$work" "$cache" &
main=$!
wait "$main"
