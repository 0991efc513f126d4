#!/bin/sh
# Writes docs/published.md, its first columns into README.md, and the plan that README.md and docs/plan.md show:
# scripts/published.sh TRINE
set -eu

trine=$1
page=docs/published.md
{
    echo '# Well-known runs: predicted beside published'
    echo
    echo 'Written by `make published` from `tests/validate/published.csv`, which quotes what the sources say of each run. No parameter was'
    echo 'fitted on these (one choice was made since a ratio was seen: OPT, below): `make fit-stacks` leaves out every run of the same source, model and software (the kernels of the chips are'
    echo 'fitted to single operations, `catalog/fits/measured.yaml`). What a source does not say is chosen as whoever ran it would have: the'
    echo 'fastest that fits the memory ([formats/measurements.md](formats/measurements.md)), so a step can be predicted from another'
    echo 'microbatch or recomputation than it had. Ratio: predicted over published.'
    echo
    echo 'Whole runs are in chip-hours. The prediction is that of all their steps, divided by the share of the hours that steps took'
    echo '(goodput), which is assumed for the reason beside it, and not predicted.'
    echo
    "$trine" validate tests/validate/published.csv --page
    echo
    cat <<'END'
What is behind the misses, as far as is known:

- Llama 3 on 8,192 chips: trine counts 90 GB of a chip for one chunk a stage, and more for several, so that it predicts 1F1B with a
  bubble of 30 % of the step; Meta interleaved its stages, and says that it tuned them until they fit. With 16,384 chips four
  chunks are taken to fit, and the step is right within 7 %.
- MLPerf's GPT-3 of 2023: predicted by what later submissions of other models reach; its software of then was slower than that of 2024.
- BLOOM: the published hours hold a ramp of the batch from 192 sequences and whatever else stopped the job; the step alone (GPT-176B, the
  same machine) is right within 5 %.
- OPT: nothing is known here of metaseq but that its kernels are those of Megatron-LM and that fairscale gathers weights under compute
  (which the stack `metaseq` says since its ratio was seen: without it 1.14, with it the 0.81 above);
  it is predicted with the largest microbatch that is fast, which may not be the one that it had.
- Llama 1 and 2: their layouts were never published; these are the planner's own, and the best of all is what few runs have.
- DeepSeek-V3: that the exchange of experts is hidden is its authors' word, and taken as that (stack `hai-llm`). Without it the same
  prediction is 1.58 times the published hours: the word, not the prediction, is what is right here. Its schedule (two microbatches that
  pass each other) is priced as 1F1B, and what it computes again as whole layers.
END
} >"$page.tmp"
mv "$page.tmp" "$page"

. "$(dirname "$0")/put.sh"
awk '/^\|/ { split($0, cell, "|"); print "|" cell[2] "|" cell[3] "|" cell[4] "|" cell[5] "|" cell[6] "|" }' "$page" | put README.md 'known runs, made by make published'

# A plan: all of it, and its first lines.
plan=build/plan.txt
mkdir -p build
"$trine" plan --model gpt3-175b --system dgx-h100 --chips 1024 --tokens 300B >"$plan"
{ echo; sed 's/^./    &/' "$plan"; echo; } | put docs/plan.md 'the plan, made by make published'
{ echo; awk 'NF == 0 { head = 1 }
    !head || /^step / || /^takes/ || /^energy/ || /^on_demand(  |:)/ || /^limited by/ {
        if (head && NR > last + 1) print "    ..."
        print "    " $0; last = NR
    }' "$plan"; echo; } | put README.md 'a plan, made by make published'
