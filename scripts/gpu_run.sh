#!/usr/bin/env bash
# Everything that only a GPU can show, in under ten minutes of one card:
#   1. the tests marked gpu;
#   2. the shipped SuperLMs trained from zero, side by side on one card;
#   3. a table of what came of them.
# Stopped at any time, the same call goes on where it was.
#
#   TEACHER=folder SENTENCES=folder OUT=folder scripts/gpu_run.sh
#
# TEACHER    folder of all-MiniLM-L6-v2
# SENTENCES  folder of text files with one sentence a line
# OUT        where everything goes: logs, checkpoints, bundles
# DATA       GLUE folder, for the table; without it there is no table
# TOKENS     tokens of each training (400M); DEVICE auto or cpu; SECONDS_LEFT of the trainings (420)
# RECIPES    folder of the spaces and settings (docs/recipes)
# PYTHON     the interpreter, with the packages of pyproject.toml
set -euo pipefail
cd "$(dirname "$0")/.."
: "${TEACHER:?}" "${SENTENCES:?}" "${OUT:?}"
PYTHON=${PYTHON:-python3} TOKENS=${TOKENS:-400M} DEVICE=${DEVICE:-auto} DATA=${DATA:-}
SECONDS_LEFT=${SECONDS_LEFT:-420} SUFFIX=${SUFFIX:-.gpu} RECIPES=${RECIPES:-docs/recipes}
export PYTHONPATH=.:${PYTHONPATH:-} HF_HUB_OFFLINE=1
mkdir -p "$OUT"
say() { printf '%s  %s\n' "$(date +%T)" "$*" | tee -a "$OUT/run.log"; }

if [ "$DEVICE" != cpu ] && [ ! -f "$OUT/tests.done" ]; then
  say "tests marked gpu"
  "$PYTHON" -m pytest -m gpu -q tests/gpu >"$OUT/tests.log" 2>&1 && touch "$OUT/tests.done" ||
    say "tests failed, see tests.log; going on"
fi
train() { # NAME
  "$PYTHON" -m cli.main train --teacher "$TEACHER" --teacher-name all-MiniLM-L6-v2 \
    --corpus "sentences:$SENTENCES" --space "$RECIPES/minilm-l6-$1.space.json" \
    --settings "$RECIPES/minilm-l6-$1$SUFFIX.json" --tokens "$TOKENS" --device "$DEVICE" \
    --cache "$OUT/cache" --work "$OUT/$1.work" --out "$OUT/minilm-l6-$1" \
    --checkpoint-seconds 60 >>"$OUT/$1.log" 2>&1
}
say "trainings: $TOKENS tokens each, $SECONDS_LEFT s at most"
pids=()
for name in wide narrow; do
  [ -f "$OUT/minilm-l6-$name/superlm.json" ] && continue
  timeout -k 10 "$SECONDS_LEFT" bash -c "$(declare -f train); $(declare -p PYTHON TEACHER SENTENCES \
    SUFFIX TOKENS DEVICE OUT RECIPES); train $name" & pids+=($!)
  # One tokenises, the other finds its arrays.
  until [ -f "$OUT/$name.work/losses.jsonl" ] || ! kill -0 "${pids[-1]}" 2>/dev/null; do sleep 1; done
done
for pid in "${pids[@]}"; do wait "$pid" || say "a training was stopped: the same call goes on"; done
for name in wide narrow; do
  rows="$OUT/$name.work/losses.jsonl"
  [ -f "$rows" ] && say "$name: $(tail -n 1 "$rows" | cut -c 1-60)"
done

if [ -n "$DATA" ] && [ -f "$OUT/minilm-l6-wide/superlm.json" ]; then
  say "students within 1/2, 1/8 and 1/20 of the MACs, measured"
  for share in 50% 12.5% 5%; do
    [ -d "$OUT/students/at-most-$share" ] ||
      "$PYTHON" -m cli.main extract "$OUT"/minilm-l6-* --macs "$share" --out "$OUT/students/at-most-$share"
  done
  "$PYTHON" -m cli.main evaluate "teacher=$TEACHER" "$OUT"/students/* --reference teacher \
    --tasks stsb-zero-shot,probes --data "$DATA" --out "$OUT/scores.json" --markdown "$OUT/scores.md"
fi
say "done"
