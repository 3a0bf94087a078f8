#!/bin/bash
# What existed before the action: the SDK's own command line, once for each image, two at a time. Run in the action's
# image, so that Python, uv, docker and buildx are the same. Arguments: the SDK's options as flags.
set -euo pipefail
mark() { echo "mark $1 $(date +%s.%N)"; }

mark begin
git clone --quiet --depth=1 --branch "$REF" "$REPOSITORY" /sdk 2>/dev/null
cd /sdk
SDK_SHA=$(git rev-parse HEAD)
mark checkout
export UV_PYTHON=3.13 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/venv
uv --quiet sync --frozen --no-dev --package openhands-sdk --compile-bytecode
docker buildx create --name "$BUILDER" --driver docker-container >/dev/null
mark environment
sdist=()
if [ "$SDIST" = once ]; then
	uv --quiet build --sdist --out-dir /sdist
	sdist=(--prebuilt-sdist /sdist/*.tar.gz)
fi
mark sdist
export SDK_SHA SDK_REF=unknown PYTHONPATH=/sdk/openhands-agent-server BUILDX_BUILDER=$BUILDER
export LITELLM_LOCAL_MODEL_COST_MAP=True OPENHANDS_SUPPRESS_BANNER=1 OPENHANDS_BUILDKIT_CACHE_MODE=off
export BUILDX_NO_DEFAULT_ATTESTATIONS=1 BUILDKIT_PROGRESS=plain
mkdir /logs
# Each line of the list is a base image and the custom tag for it.
xargs -P "$WORKERS" -L 1 sh -c 'exec >"/logs/$2" 2>&1; base=$1 tag=$2; shift 2
	exec /venv/bin/python -P -m openhands.agent_server.docker.build --base-image "$base" --custom-tags "$tag" \
	--image "$IMAGE" --target source-minimal --platforms linux/amd64 --push "$@"' sh <<<"$(
	while read -r base tag; do echo "$base" "$tag" $* ${sdist[*]}; done <"$LIST")" || { tail -n 20 /logs/*; exit 1; }
mark build
