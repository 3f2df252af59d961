#!/bin/sh
# What the tests of the page need: Chromium from Debian, ONNX Runtime for browsers from npm. Needs npm, and root for apt-get.
set -eu
cd "$(dirname "$0")"
command -v chromium >/dev/null || command -v google-chrome >/dev/null || apt-get install -y --no-install-recommends chromium
npm install --ignore-scripts --no-save --prefix . onnxruntime-web@1.30.0
