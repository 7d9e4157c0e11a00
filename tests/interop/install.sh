#!/usr/bin/env bash
# Install the programs of others that tests/interop talks to: install.sh [DIRECTORY]
#
# DIRECTORY, by default $ANYWS_NODE_MODULES, gets Node's packages. What is there already is left alone.
set -euo pipefail
directory=${1:-${ANYWS_NODE_MODULES:?name the directory for the packages of Node}}
programs=$(cd "$(dirname "$0")/programs" && pwd)
go_folder=/usr/share/gocode

packages=()
need() { [ -e "$2" ] || command -v "$2" >/dev/null || packages+=("$1"); }
need chromium chromium
need golang-go go
need golang-github-gorilla-websocket-dev $go_folder/src/github.com/gorilla/websocket
need golang-nhooyr-websocket-dev $go_folder/src/nhooyr.io/websocket
need libwebsockets-test-server libwebsockets-test-client
need nginx-light /usr/sbin/nginx
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
if [ ${#packages[@]} -gt 0 ]; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi

if ! [ -d "$directory/node_modules/ws" ] || ! [ -d "$directory/node_modules/undici" ]; then
    mkdir -p "$directory"
    npm install --prefix "$directory" --no-audit --no-fund --loglevel=error ws@8 undici@7 >/dev/null
fi

# The tests build the programs in Go again, which is quick once their libraries are built.
for name in gorilla nhooyr; do
    GO111MODULE=off GOPATH=$go_folder GOFLAGS= go build -o /dev/null \
        "$programs/client_common.go" "$programs/client_$name.go"
done
