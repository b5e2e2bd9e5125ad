# Shared by the scripts: finds what they need and installs what is missing.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/target/tools"

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo --preserve-env=PATH,CARGO_HOME,RUSTUP_HOME,PUERTO_BINARY "$@"; fi
}

# need_packages PACKAGE…: installs those of Debian's packages that are missing.
need_packages() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return
  echo "installing: ${missing[*]}"
  as_root apt-get update -qq
  # No service of theirs may start: the tests start their own, in a place of their own.
  local policy=/usr/sbin/policy-rc.d made=no
  if [ ! -e $policy ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
    as_root chmod 755 $policy
    made=yes
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null </dev/null
  if [ $made = yes ]; then as_root rm -f $policy; fi
}

# need_python PACKAGE…: a virtual environment of the project's own, made once.
need_python() {
  if [ ! -x "$tools/python/bin/python" ]; then
    need_packages python3 python3-venv
    python3 -m venv "$tools/python"
  fi
  [ $# -eq 0 ] || "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

say() { printf '\n== %s\n' "$*"; }
