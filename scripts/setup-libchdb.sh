#!/bin/sh
# Puts the ClickHouse engine (libchdb) where Parallax looks for it:
#
#   ${XDG_CACHE_HOME:-~/.cache}/parallax/VERSION/libchdb.so
#
# It comes from npm. On linux-x64 the lock file in divergence/embedded/npm pins
# it with its integrity hash; elsewhere its sister for that platform is
# installed by name, at the same version. Running this again does nothing. With
# PARALLAX_LIBCHDB set, that file is used and nothing is fetched.
set -eu

here=$(cd "$(dirname "$0")/.." && pwd)
pins=$here/divergence/embedded/npm
work=''
npm_pid=''

say() { printf 'libchdb: %s\n' "$*"; }
die() { printf 'libchdb: %s\n' "$*" >&2; exit 1; }

cleanup() {
	[ -z "$npm_pid" ] || kill "$npm_pid" 2>/dev/null || true
	[ -z "$work" ] || rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# version prints the one version that package.json pins.
version() {
	sed -n 's|.*"@chdb/lib-linux-x64-gnu": "\([^"]*\)".*|\1|p' "$pins/package.json"
}

# platform prints this machine the way npm's packages of libchdb name it.
platform() {
	case "$(uname -s)/$(uname -m)" in
	Linux/x86_64 | Linux/amd64) echo linux-x64-gnu ;;
	Linux/aarch64 | Linux/arm64) echo linux-arm64-gnu ;;
	Darwin/arm64) echo darwin-arm64 ;;
	Darwin/x86_64) echo darwin-x64 ;;
	*) return 1 ;;
	esac
}

bytes() { wc -c <"$1" | tr -d ' '; }
used_mb() { du -sk "$1" 2>/dev/null | awk '{ print int($1 / 1024) }'; }

# installed says whether a complete engine of the pinned version is in place:
# its size was written down after it was moved there.
installed() {
	[ -f "$lib" ] && [ -f "$lib.size" ] && [ "$(bytes "$lib")" = "$(cat "$lib.size")" ]
}

# install_package runs npm in the background and shows how far it has come.
install_package() {
	if [ "$platform" = linux-x64-gnu ]; then
		cp "$pins/package.json" "$pins/package-lock.json" "$work/"
		set -- ci
	else
		echo '{"private": true}' >"$work/package.json"
		set -- install --no-save --no-package-lock "$package@$version"
	fi
	(cd "$work" && exec npm "$@" --ignore-scripts --no-audit --no-fund --loglevel=error) >"$work/npm.log" 2>&1 &
	npm_pid=$!
	seconds=0
	while kill -0 "$npm_pid" 2>/dev/null; do
		if [ -t 1 ]; then
			printf '\rlibchdb: %s MB unpacked' "$(used_mb "$work")"
		elif [ $((seconds % 5)) -eq 4 ]; then
			say "$(used_mb "$work") MB unpacked"
		fi
		seconds=$((seconds + 1))
		sleep 1
	done
	[ ! -t 1 ] || printf '\r\033[K'
	status=0
	wait "$npm_pid" || status=$?
	npm_pid=''
	[ "$status" -eq 0 ] && return
	sed 's/^/  /' "$work/npm.log" >&2
	die "npm could not install $package@$version (exit status $status, its words are above). Check the network and the registry npm is set to use (npm config get registry), or set PARALLAX_LIBCHDB to a libchdb.so you have"
}

[ -f "$pins/package.json" ] || die "cannot find $pins/package.json: run this script from a checkout of Parallax"
version=$(version)
[ -n "$version" ] || die "$pins/package.json pins no version of @chdb/lib-linux-x64-gnu"

if [ -n "${PARALLAX_LIBCHDB:-}" ]; then
	[ -f "$PARALLAX_LIBCHDB" ] || die "PARALLAX_LIBCHDB is $PARALLAX_LIBCHDB, but there is no such file: correct it, or unset it to have version $version fetched"
	say "using $PARALLAX_LIBCHDB (PARALLAX_LIBCHDB is set)"
	exit 0
fi

cache=${XDG_CACHE_HOME:-${HOME:-}/.cache}
[ "$cache" != /.cache ] || die "neither XDG_CACHE_HOME nor HOME is set: set one of them, or PARALLAX_LIBCHDB"
dir=$cache/parallax/$version
lib=$dir/libchdb.so
if installed; then
	say "$version is in place: $lib"
	exit 0
fi

platform=$(platform) || die "there is no libchdb for $(uname -s) on $(uname -m): use a ClickHouse server (store.clickhouse in the configuration), or set PARALLAX_LIBCHDB to a libchdb.so built for this machine"
package=@chdb/lib-$platform
if [ "$platform" != "${platform%-gnu}" ] && ldd --version 2>&1 | grep -qi musl; then
	die "libchdb needs glibc, and this system uses musl: use a Debian-like image, or a ClickHouse server (store.clickhouse in the configuration)"
fi
command -v npm >/dev/null || die "npm is needed to fetch libchdb: install it (Debian: apt-get install npm), or set PARALLAX_LIBCHDB to a libchdb.so you have"
mkdir -p "$dir" || die "cannot make $dir: check its permissions, or set XDG_CACHE_HOME"
free_mb=$(df -Pk "$dir" | awk 'NR == 2 { print int($4 / 1024) }')
[ "$free_mb" -ge 1000 ] || die "$dir has $free_mb MB free, and libchdb needs 1000: make room, or set XDG_CACHE_HOME"

work=$(mktemp -d "$dir/fetch.XXXXXX") || die "cannot write to $dir"
say "fetching $package@$version with npm (a few hundred MB, once)"
install_package
found=''
for name in libchdb.so libchdb.dylib; do
	[ ! -f "$work/node_modules/$package/$name" ] || found=$work/node_modules/$package/$name
done
[ -n "$found" ] || die "$package@$version holds no libchdb.so: set PARALLAX_LIBCHDB to one you have"

chmod 0755 "$found"
rm -f "$lib.size"
size=$(bytes "$found")
mv -f "$found" "$lib"
echo "$size" >"$lib.size"
say "$version is in place: $lib ($((size / 1000000)) MB)"
