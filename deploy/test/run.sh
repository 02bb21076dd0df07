#!/bin/sh
# Builds deploy/Dockerfile with podman and tries the image, locked up as docs/container.md says. Needs root on Debian or
# Ubuntu, and what `npm ci` installs; it installs the Debian packages itself. No image registry is needed.
#
# WAKALA_IMAGE_CACHE    where the base images are kept, by default node_modules/.cache/image
#
# Nothing else is left behind. The last line is "N passed, N failed", or "skipped: ..." where podman can run no container.
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

skip() {
  echo "skipped: podman cannot run containers here: $1"
  exit 0
}

[ -x "$node" ] || fail 'run `npm ci` first'
[ "$(id -u)" = 0 ] || skip 'this test runs it as root only'

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
  command -v apt-get >/dev/null || skip "there is no apt-get to install$packages"
  export DEBIAN_FRONTEND=noninteractive
  # shellcheck disable=SC2086
  { apt-get -qq update && apt-get -qqy install --no-install-recommends $packages; } >&2 || fail "could not install$packages"
fi

work=$(mktemp -d "${TMPDIR:-/tmp}/wakala-image.XXXXXX")

# Removes the containers, takes the mounts down, and removes the folder.
clean() {
  for settings in "$work"/*/containers.conf; do
    [ -e "$settings" ] || continue
    CONTAINERS_CONF=$settings CONTAINERS_STORAGE_CONF=${settings%/*}/storage.conf \
      podman rm --force --all >/dev/null 2>&1 || :
  done
  cut -d' ' -f5 /proc/self/mountinfo | grep "^$work/" | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null || :
  done
  rm -rf "$work"
}
main=
trap clean EXIT
trap '[ -z "$main" ] || { kill "$main" && wait "$main"; } 2>/dev/null || :; exit 1' HUP INT TERM

sh deploy/test/bases.sh "$cache" "$node" || fail 'the base images could not be made'
# In the background, so that this shell handles signals at once.
node deploy/test/main.ts "$work" "$cache" &
main=$!
wait "$main"
