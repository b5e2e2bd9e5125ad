# Shared by the scripts: finds what they need and installs what is missing, nothing of it
# on this machine itself.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
tools="$root/target/tools"

as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo --preserve-env=PATH,CARGO_HOME,RUSTUP_HOME,PUERTO_BINARY "$@"
  else
    echo "this needs root: run it as root, or install sudo; scripts/test --fast needs neither" >&2
    return 77
  fi
}

# in_machine COMMAND…: as root on a machine of the tests' own, see scripts/machine.
in_machine() {
  as_root unshare --mount --uts --propagation private "$root/scripts/machine" "$@" </dev/null
}

# need_packages PACKAGE…: installs those of Debian's packages that are missing, on the
# machine of the tests' own; only there can they be used.
need_packages() {
  mkdir -p "$tools"
  printf '%s\n' "$@" >>"$tools/packages"
  sort -u -o "$tools/packages" "$tools/packages"
  in_machine true
}

# need_archives PACKAGE…: those of Debian's packages that stand in others' way, so that a test
# unpacks them where it wants them.
need_archives() {
  local package
  mkdir -p "$tools/archives"
  for package in "$@"; do
    [ -z "$(ls "$tools/archives/${package}"_*.deb 2>/dev/null)" ] || continue
    in_machine sh -c 'cd "$1" && { apt-get download -qq "$2" 2>/dev/null || { apt-get update -qq && apt-get download -qq "$2"; }; }' \
      sh "$tools/archives" "$package"
  done
}

# need_python PACKAGE…: a virtual environment of the project's own, made once. Where this
# machine has no Python, that of the tests' machine makes it.
need_python() {
  local place=
  if ! python3 -c 'import ensurepip' 2>/dev/null; then
    need_packages python3 python3-venv
    place=in_machine
  fi
  mkdir -p "$tools"
  if [ ! -x "$tools/python/bin/pip" ]; then $place python3 -m venv "$tools/python"; fi
  [ $# -eq 0 ] || $place "$tools/python/bin/python" -m pip install --quiet --disable-pip-version-check "$@"
}

say() { printf '\n== %s\n' "$*"; }
