#!/usr/bin/env bash
# Installs dciodvfy, the checker of DICOM files of Debian's package dicom3tools, for the tests of DICOM output.
# Without it those tests are skipped. Needs root, on Debian or Ubuntu.
set -euo pipefail
command -v dciodvfy && exit 0
apt-get update -qq
apt-get install -y -qq --no-install-recommends dicom3tools
dciodvfy -version 2>/dev/null || command -v dciodvfy
