#!/usr/bin/env bash
# Test with several processes on this machine (or on several, by NNODES,
# NODE_RANK, MASTER_ADDR and PORT): tools/dist_test.sh CONFIG CHECKPOINT
# PROCESSES [ARGUMENTS OF tools/test.py]. Without GPUs it runs on the CPU
# (gloo).
set -e

if [ $# -lt 3 ]; then
    echo "Usage: $0 CONFIG CHECKPOINT PROCESSES" \
        "[ARGUMENTS OF tools/test.py]" >&2
    exit 2
fi

TOOLS=$(dirname "$0")

PYTHONPATH="$TOOLS/..:$PYTHONPATH" python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$3" \
    "$TOOLS/test.py" "$1" "$2" --launcher pytorch "${@:4}"
