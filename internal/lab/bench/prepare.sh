# The set-up of the other scripts, which source it: the SDK at $REF in /sdk, its environment in /venv, and the lab's
# builder. They run in the action's image, with the action's Python, uv, docker and buildx.
set -euo pipefail
mark() { echo "mark $1 $(date +%s.%N)"; }

mark begin
git clone --quiet --depth=1 --branch "$REF" "$REPOSITORY" /sdk 2>/dev/null
cd /sdk
SDK_SHA=$(git rev-parse HEAD)
mark checkout
export UV_PYTHON=3.13 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/venv
uv --quiet sync --frozen --no-dev --package openhands-sdk
docker buildx create --name "$BUILDER" --driver docker-container >/dev/null
mark environment
export SDK_SHA SDK_REF=unknown PYTHONPATH=/sdk/openhands-agent-server BUILDX_BUILDER=$BUILDER
export LITELLM_LOCAL_MODEL_COST_MAP=True OPENHANDS_SUPPRESS_BANNER=1 OPENHANDS_BUILDKIT_CACHE_MODE=off
export BUILDX_NO_DEFAULT_ATTESTATIONS=1 BUILDKIT_PROGRESS=plain
mkdir /logs
