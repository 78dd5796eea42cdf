# Sourced by run and test: makes .venv and installs a requirements file, once for each content.

PYTHON=.venv/bin/python

fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

find_python() {
  local name
  for name in python3.13 python3.12 python3.11 python3; do
    if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      printf '%s\n' "$name"
      return
    fi
  done
  fail "ALARM Triage needs Python 3.11 or newer, and none was found: install python3.11 (or 3.12, 3.13) and try again."
}

digest() { # of a requirements file, of those it includes, and of the Python that runs them
  "$PYTHON" - "$1" <<'PY'
import hashlib
import pathlib
import sys


def text(path):
    lines = pathlib.Path(path).read_text().splitlines()
    return "\n".join(text(line[3:].strip()) if line.startswith("-r ") else line for line in lines)


print(hashlib.sha256((sys.version + text(sys.argv[1])).encode()).hexdigest())
PY
}

make_venv() {
  "$PYTHON" -c 'import pip' >/dev/null 2>&1 && return
  local python
  python=$(find_python)
  rm -rf .venv
  "$python" -m venv .venv >"$1" 2>&1 ||
    fail "$python could not make a virtual environment (Debian and Ubuntu: apt-get install python3-venv). Log: $1"
}

watch_install() { # shows that something goes on until process $1 ends; its log is $2
  local begun=$SECONDS package
  while kill -0 "$1" 2>/dev/null; do
    if [ -t 1 ]; then
      package=$(grep -oE '^ *(Collecting|Downloading|Installing) [^ ]+' "$2" | tail -n 1 || true)
      printf '\r\033[K  %d s %s' "$((SECONDS - begun))" "$package"
    fi
    sleep 1
  done
  [ ! -t 1 ] || printf '\r\033[K'
}

install() { # a requirements file into .venv, unless it was installed as it is
  local file=$1 log="${ALARM_DATA:-var}/logs/install.log" stamp=".venv/.$1.stamp" wanted pip begun
  mkdir -p "$(dirname "$log")" || fail "The folder for logs cannot be made: $(dirname "$log")"
  make_venv "$log"
  wanted=$(digest "$file")
  [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ] || return 0
  echo "Installing $file into .venv (the first time this takes 2 to 4 minutes) ..."
  begun=$SECONDS
  "$PYTHON" -m pip install --no-input --disable-pip-version-check --progress-bar off -r "$file" \
    >"$log" 2>&1 &
  pip=$!
  trap 'kill "$pip" 2>/dev/null; exit 130' INT TERM
  watch_install "$pip" "$log"
  wait "$pip" || fail "Installing $file failed: $(grep -E '^ERROR' "$log" | tail -n 1) Log: $log"
  trap - INT TERM
  printf '%s\n' "$wanted" >"$stamp"
  echo "Installed in $((SECONDS - begun)) s."
}
