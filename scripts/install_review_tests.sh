#!/usr/bin/env bash
# Installs what the tests of `ecg-hough review` use besides Python packages: Debian's chromium and PostgreSQL, and
# axe-core, which checks pages for accessibility, into the folder .axe. Without them those tests are skipped.
# Needs root, npm, and Debian or Ubuntu.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=()
command -v chromium >/dev/null || packages+=(chromium)
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || packages+=(postgresql)
if [ ${#packages[@]} -gt 0 ]; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${packages[@]}"
fi
[ -f .axe/node_modules/axe-core/axe.min.js ] || npm install --prefix .axe --no-save --no-audit --no-fund axe-core@4.14.1
chromium --version
