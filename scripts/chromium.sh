# Sourced by test: finds or installs a Chromium for the tests in the browser, and names it in CHROMIUM.

UNPACKED=$PWD/.venv/chromium

find_chromium() {
  local name
  for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome "$UNPACKED/chromium"; do
    if [ -n "$name" ] && "$name" --version >/dev/null 2>&1; then
      CHROMIUM=$(command -v "$name")
      return 0
    fi
  done
  return 1
}

install_by_apt() {
  [ "$(id -u)" = 0 ] && command -v apt-get &&
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium
}

install_by_npm() { # the package carries the browser itself; it unpacks to TMPDIR/chromium
  command -v npm &&
    npm install --no-fund --no-audit --prefix "$UNPACKED" @sparticuz/chromium@147.0.0 &&
    (cd "$UNPACKED" && TMPDIR=$UNPACKED node --input-type=module -e '
      import chromium from "@sparticuz/chromium";
      console.log(await chromium.executablePath());
    ')
}

need_chromium() {
  local log=${ALARM_DATA:-var}/logs/chromium.log
  find_chromium && return
  echo "Installing Chromium for the tests in the browser ..."
  mkdir -p "$(dirname "$log")"
  install_by_apt >"$log" 2>&1 && find_chromium && return
  install_by_npm >>"$log" 2>&1 && find_chromium && return
  fail "No Chromium for the tests in the browser: install one, or name it with CHROMIUM=PATH. Log: $log"
}
