#!/usr/bin/env bash
# Everything that has to be measured on a GPU, in calls of under ten minutes each.
#
#   LOWRES_DATA_DIR=FOLDER benchmarks/gpu.sh OUT [STEP...]
#
# Without steps it does what is missing, in order, until MINUTES (9) are over; call it again until it says that all is
# done. OUT gets one JSON a step; OUT/state keeps runs and marks between calls. With steps it does those alone.
#
# Settings, by environment:
#   MINUTES         of a call (9)
#   RUNS            trainings of each speed recipe (20)
#   DEVICE          cuda, cuda:1, ... (cuda)
#   PYTHON          the interpreter with lowres installed (python)
#   PYTORCH_CIFAR   checkout of the ordinary loop, to be measured beside
#   TIMM            checkout of timm with its train.py, likewise
#   RECORDS         speed-run scripts, separated by spaces, likewise
#   AT_ONCE         processes at once for seeds per hour, one measurement each ("4 8 12")
#   LADDERS         ladders at full length ("seresnet20")
#   SEEDS           of each rung (5)
#   COMPILE         1: speed recipes are compiled, in the warming run that does not count

set -u
if [ $# -lt 1 ]; then
  sed -n '2,21p' "$0" | sed 's/^# \{0,1\}//'
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/state"
out=$(cd "$1" && pwd)
shift
state=$out/state
python=${PYTHON:-python}
device=${DEVICE:-cuda}
minutes=${MINUTES:-9}
runs=${RUNS:-20}
end=$(($(date +%s) + minutes * 60))
steps="correctness ceilings throughput speed94 speed95 speed96 resnet20 peers records seeds ladders"

left() { echo $((end - $(date +%s))); }

# Ends a command when time is over: 3, since it goes on or begins anew with the next call.
within() {
  timeout --signal=INT "$(left)" "$@"
  local code=$?
  case $code in 124 | 130) return 3 ;; *) return $code ;; esac
}

# Minutes that a script may still begin runs in: it ends a run that it has begun, so a part is kept back.
budget() { awk -v s="$(left)" 'BEGIN { m = s / 60 - 1; print (m > 0.1 ? m : 0.1) }'; }

bench() { "$python" -m lowres bench "$@"; }

recipes() { # those whose speed is of interest, one of each kind
  echo resnet20-cosine resnet20-quick resnet56 semxresnet20 semxresnext29 speed94 speed95 speed96
}

# Each step writes its JSON and returns 0 when it has all, 3 when it needs another call, anything else for a failure.
step() {
  local json=$out/$1.json
  case $1 in
    correctness) "$python" "$here/device_correctness.py" --device "$device" --out "$json" > /dev/null ;;
    # No recipe but a small one: what counts here are the limits.
    ceilings) bench resnet20-cosine --device "$device" --seconds 8 --out "$json" ;;
    throughput) bench $(recipes) --device "$device" --seconds 8 --out "$json" ;;
    speed94 | speed95 | speed96)
      local compiled=
      [ "${COMPILE:-0}" = 0 ] || compiled=--compile
      within "$python" "$here/time_to_accuracy.py" "$1" --runs "$runs" --device "$device" --minutes "$(budget)" $compiled \
        --folder "$state/$1" --out "$json" > /dev/null
      ;;
    resnet20)
      within "$python" "$here/time_to_accuracy.py" resnet20-cosine --epochs 200 --runs 1 --device "$device" \
        --minutes "$(budget)" --folder "$state/resnet20" --out "$json" > /dev/null
      ;;
    peers)
      [ -n "${PYTORCH_CIFAR:-}${TIMM:-}" ] || return 4
      within "$python" "$here/peers/compare.py" ${PYTORCH_CIFAR:+--pytorch-cifar "$PYTORCH_CIFAR"} ${TIMM:+--timm "$TIMM"} \
        --device "$device" --steps 100 --out "$json" > /dev/null
      ;;
    records)
      [ -n "${RECORDS:-}" ] || return 4
      local script recipe
      for script in $RECORDS; do
        json=$out/record-$(basename "$script" .py).json
        [ ! -e "$json" ] || continue
        case $(basename "$script") in *96*) recipe=speed96 ;; *95*) recipe=speed95 ;; *) recipe=speed94 ;; esac
        within "$python" "$here/peers/compare.py" --record "$script" --record-recipe $recipe --runs "$runs" \
          --device "$device" --out "$json" > /dev/null || return
      done
      ;;
    seeds)
      local count
      for count in ${AT_ONCE:-4 8 12}; do
        json=$out/seeds-$count.json
        [ ! -e "$json" ] || continue
        within "$python" "$here/seeds_per_hour.py" --recipe resnet20-quick --epochs 2 --workers "$count" --rounds 2 \
          --device "$device" --out "$json" > /dev/null || return
      done
      ;;
    ladders)
      for ladder in ${LADDERS:-seresnet20}; do
        [ "$(left)" -gt 30 ] || return 3
        within "$python" -m lowres ladder "$ladder" --seeds "${SEEDS:-5}" \
          --device "$device" --out "$state/ladders" --quiet --json > "$state/ladder.json" || return
        mv "$state/ladder.json" "$out/ladder-$ladder.json"
      done
      ;;
    *)
      echo "gpu.sh: no step $1; there are: $steps" >&2
      exit 2
      ;;
  esac
}

failed=0
for name in ${*:-$steps}; do
  if [ $# -eq 0 ]; then
    [ ! -e "$state/$name.done" ] || continue
    if [ "$(left)" -lt 60 ]; then
      echo "gpu.sh: time is over before $name; call again"
      exit 3
    fi
  fi
  echo "gpu.sh: $name"
  began=$(date +%s)
  step "$name"
  code=$?
  took=$(($(date +%s) - began))
  case $code in
    0)
      touch "$state/$name.done"
      echo "gpu.sh: $name done in $took s"
      ;;
    3)
      echo "gpu.sh: $name goes on with the next call"
      exit 3
      ;;
    4) echo "gpu.sh: $name left out: no checkout is given" ;;
    *)
      failed=1
      echo "gpu.sh: $name failed with code $code after $took s; the others go on" >&2
      ;;
  esac
done
[ $failed -eq 0 ] && echo "gpu.sh: all is done; results in $out"
exit $failed
