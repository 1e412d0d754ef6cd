# Debian packages for a script that needs commands; to be sourced.
#
#   need "COMMAND PACKAGE..." ...
#
# installs the packages of those commands that are missing, or says what to
# install where that cannot be done. No installed service is started.
need() {
	local missing=() command list
	for each in "$@"; do
		read -r command list <<<"$each"
		# shellcheck disable=SC2206 # a list of packages
		command -v "$command" >/dev/null 2>&1 || missing+=($list)
	done
	[ ${#missing[@]} -gt 0 ] || return 0
	if ! command -v apt-get >/dev/null 2>&1; then
		echo "setup: missing: what Debian has as ${missing[*]}; install it with your packages" >&2
		return 1
	fi
	if [ "$(id -u)" != 0 ]; then
		echo "setup: missing: ${missing[*]}; run: sudo apt-get install ${missing[*]}" >&2
		return 1
	fi
	echo "setup: installing ${missing[*]} with apt-get"
	local policy=/usr/sbin/policy-rc.d made=
	if [ ! -e "$policy" ]; then
		printf '#!/bin/sh\nexit 101\n' >"$policy"
		chmod +x "$policy"
		made=$policy
	fi
	local code=0
	apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null || code=$?
	[ -z "$made" ] || rm -f "$made"
	return "$code"
}
