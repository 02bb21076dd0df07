#!/bin/sh
# Makes the two base images of deploy/Dockerfile from Debian packages, for machines that reach no image registry:
#
#   bases.sh CACHE NODE
#
# CACHE/builder.tar has what the Dockerfile uses of the official Node image: a shell, coreutils, Node and npm.
# CACHE/runtime.tar has the layout of distroless/nodejs24-debian13: the same Debian packages, unpacked without running
# anything of them, the user 65532, the CA bundle, and Node in /nodejs/bin. NODE is the Node that goes into both.
#
# Packages come from the Debian mirror, checked by apt against Debian's keys; npm comes from the npm registry.
set -eu

cache=$1
node=$2
suite=trixie
mirror=${WAKALA_DEBIAN_MIRROR:-http://deb.debian.org/debian}
npm_version=11.19.0

# As in static/, base/ and cc/config.bzl of github.com/GoogleContainerTools/distroless.
runtime_packages='base-files netbase tzdata tzdata-legacy media-types libc6 libssl3t64 libzstd1 zlib1g libgomp1 libstdc++6
  libgcc-s1 gcc-14-base ca-certificates'
builder_packages='base-files libc6 libgcc-s1 gcc-14-base libstdc++6 ca-certificates dash coreutils libacl1 libattr1
  libcap2 libgmp10 libpcre2-8-0 libselinux1 libssl3t64 libsystemd0 libzstd1 zlib1g'

key=$({ cat "$0"; sha256sum <"$node"; echo "$mirror"; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$cache/bases.key" 2>/dev/null)" = "$key" ]; then
  echo "bases: as the last time, from $cache"
  exit 0
fi

mkdir -p "$cache"
rm -f "$cache/bases.key"
work=$(mktemp -d "$cache/bases.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# An apt of its own: this machine's lists, sources and dpkg database are left alone, its proxy settings count.
export APT_CONFIG="$work/apt.conf"
cat >"$APT_CONFIG" <<END
Dir::State "$work/state";
Dir::State::status "$work/status";
Dir::Cache "$work/cache";
Dir::Etc::sourcelist "$work/sources.list";
Dir::Etc::sourceparts "$work/none";
Dir::Etc::preferencesparts "$work/none";
Acquire::Languages "none";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
END
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/none" "$work/debs"
: >"$work/status"
keys=/usr/share/keyrings/debian-archive-keyring.gpg
echo "deb [signed-by=$keys] $mirror $suite main" >"$work/sources.list"

echo "bases: packages of Debian $suite from $mirror"
apt-get -qq update
# shellcheck disable=SC2086
(cd "$work/debs" && apt-get -qq download $(printf '%s\n' $runtime_packages $builder_packages | sort -u))

unpack() { # unpack DIRECTORY PACKAGE...
  into=$1
  shift
  mkdir -p "$into"
  for package; do
    dpkg-deb --fsys-tarfile "$work/debs/${package}_"*.deb | tar -xp --no-same-owner --keep-directory-symlink -C "$into"
  done
  mkdir -p "$into/etc/ssl/certs"
  cat "$into"/usr/share/ca-certificates/mozilla/*.crt >"$into/etc/ssl/certs/ca-certificates.crt"
}

# shellcheck disable=SC2086
unpack "$work/runtime" $runtime_packages
rm -rf "$work/runtime/usr/bin/"* "$work/runtime/usr/sbin/"*
install -D -m 755 "$node" "$work/runtime/nodejs/bin/node"
install -d -m 700 -o 65532 -g 65532 "$work/runtime/home/nonroot"
printf '%s\n' 'root:x:0:0:root:/root:/sbin/nologin' 'nobody:x:65534:65534:nobody:/nonexistent:/sbin/nologin' \
  'nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin' >"$work/runtime/etc/passwd"
printf '%s\n' 'root:x:0:' 'nobody:x:65534:' 'tty:x:5:' 'staff:x:50:' 'nonroot:x:65532:' >"$work/runtime/etc/group"

# shellcheck disable=SC2086
unpack "$work/builder" $builder_packages
ln -sf dash "$work/builder/usr/bin/sh"
echo 'root:x:0:0:root:/root:/bin/sh' >"$work/builder/etc/passwd"
echo 'root:x:0:' >"$work/builder/etc/group"
install -D -m 755 "$node" "$work/builder/usr/local/bin/node"

echo "bases: npm $npm_version"
(cd "$work" && npm pack --silent "npm@$npm_version" >/dev/null)
modules="$work/builder/usr/local/lib/node_modules"
mkdir -p "$modules/npm"
tar -xzf "$work/npm-$npm_version.tgz" --no-same-owner --strip-components=1 -C "$modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$work/builder/usr/local/bin/npm"

for base in builder runtime; do
  tar -c -C "$work/$base" . >"$work/$base.tar"
done
mv "$work/builder.tar" "$work/runtime.tar" "$cache"
echo "$key" >"$cache/bases.key"
