#!/bin/sh
# What the tests of the page need: Chromium from Debian, ONNX Runtime for browsers from npm. Needs npm, and root for apt-get.
set -eu
cd "$(dirname "$0")"
if ! command -v chromium >/dev/null && ! command -v google-chrome >/dev/null; then
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends chromium
fi
npm install --ignore-scripts --no-save --prefix . onnxruntime-web@1.30.0 axe-core@4.12.1
