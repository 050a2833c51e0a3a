#!/usr/bin/env bash
# Train with several processes on this machine (or on several, by NNODES,
# NODE_RANK, MASTER_ADDR and PORT): tools/dist_train.sh CONFIG PROCESSES
# [ARGUMENTS OF tools/train.py]. Without GPUs it runs on the CPU (gloo).
set -e

if [ $# -lt 2 ]; then
    echo "Usage: $0 CONFIG PROCESSES [ARGUMENTS OF tools/train.py]" >&2
    exit 2
fi

TOOLS=$(dirname "$0")

PYTHONPATH="$TOOLS/..:$PYTHONPATH" python -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$TOOLS/train.py" "$1" --launcher pytorch "${@:3}"
