#!/bin/sh
# build.sh DIRECTORY: makes the layer there. The client has a part in C++, which is compiled here.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/bin" "$1/nodejs/node_modules/@aws"
layer=$(cd "$1" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp "$here/package.json" "$here/package-lock.json" "$work"
cd "$work"
npm ci --silent --ignore-scripts --no-audit --no-fund
node=$(echo "$work"/node_modules/node-linux-*)
PATH="$node/bin:$PATH" npm_config_nodedir="$node" npm rebuild --silent aws-lambda-ric
rm -r node_modules/aws-lambda-ric/deps node_modules/aws-lambda-ric/src
cp "$node/bin/node" "$layer/bin/"
cp -R node_modules/aws-lambda-ric "$layer/nodejs/node_modules/"
cp -R node_modules/@aws/lambda-invoke-store "$layer/nodejs/node_modules/@aws/"
install -m 755 "$here/bootstrap" "$layer/bootstrap"
