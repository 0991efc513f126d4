#!/bin/sh
# Bad input is refused with a sentence and exit status 2 or 3, and leaves nothing half-written.
. "$TRINE_SOURCE_DIR/tests/app/lib.sh"
trine=$TRINE_BIN

i=0
while [ $i -lt 200 ]; do echo "the sea and the light went over the stone $i"; i=$((i + 1)); done >book.txt
: >empty.txt
mkdir folder
echo hidden >folder/.hidden
echo "a few words" >short.txt

# The command line.
expect 2 "no command given" $trine
expect 2 "train" $trine trian
expect 2 "steps" $trine train book.txt --step 5
expect 2 "one argument too many" $trine train book.txt other.txt
expect 2 "the data are given twice" $trine train book.txt --data book.txt
expect 2 "PATH" $trine hash

# Data.
expect 2 "no data given" $trine train
expect 2 "missing.txt: cannot be read: No such file or directory" $trine train missing.txt
expect 2 "empty.txt: the file is empty" $trine train empty.txt
expect 2 "folder: the folder holds no files" $trine train folder
expect 2 "/dev/null: is a device" $trine train /dev/null
expect 2 "short.txt: too small: 12 tokens" $trine train short.txt -q
expect 2 "needs 257" $trine train short.txt -q
printf 'a caf\351 by the sea\n' >latin1.txt
expect 2 "latin1.txt: offset 5: the byte 0xe9 begins no character of UTF-8" $trine train latin1.txt -q
expect 2 "latin1.txt: offset 5: the byte 0xe9" $trine tokenize train latin1.txt -o t.json -q
expect 2 "latin1.txt: too small: 18 tokens" $trine train latin1.txt --data.encoding=bytes -q

# Config.
expect 2 "nowhere.yaml" $trine train book.txt -c nowhere.yaml
printf 'train:\n  stepz: 5\n' >unknown.yaml
expect 2 "unknown.yaml:2:" $trine train book.txt -c unknown.yaml
expect 2 "did you mean train.steps?" $trine train book.txt -c unknown.yaml
expect 2 "did you mean optimizer.lr?" $trine train book.txt --optimizer.lrr=1
expect 2 "--train.steps" $trine train book.txt --train.steps=0
expect 2 "--data.val_fraction" $trine train book.txt --data.val_fraction=0.95
printf 'train: [unclosed\n' >broken.yaml
expect 2 "broken.yaml:" $trine train book.txt -c broken.yaml
printf -- '- a\n- b\n' >list.yaml
expect 2 "list.yaml:1:1: expected keys below it" $trine train book.txt -c list.yaml
printf 'train: 5\n' >scalar.yaml
expect 2 "scalar.yaml:1:8: train: expected keys below it" $trine train book.txt -c scalar.yaml --steps 5
expect 2 "--depth makes a model, --model names one" $trine train book.txt --depth 3 --model tiny-gpt2
expect 2 "--depth makes a model, --init names one" $trine train book.txt --depth 3 --init run
expect 2 "--depth makes a model, --model names one" $trine train book.txt --model tiny-gpt2 --model.depth=3

# Shapes.
expect 2 "--model.depth" $trine train book.txt -d 0
expect 2 "gpt2" $trine train book.txt -m gtp2
expect 2 "train.batch 3 must be a multiple of layout.lanes 2" $trine train book.txt --train.batch=3 --layout.lanes=2
expect 2 "train.micro_batch 3 must divide" $trine train book.txt --train.batch=4 --train.micro_batch=3
expect 2 "tensor" $trine train book.txt -d 1 --layout.tensor=64
printf '{"architectures": ["LlamaForCausalLM"], "hidden_size": 30' >config.json
expect 2 "config.json" $trine train book.txt -m config.json

# Memory: said before anything is read, mapped or written.
expect 1 "training depth-8 needs " $trine train book.txt -d 8 --memory 100MiB
expect 1 "TiB of memory, " $trine train book.txt -m llama3-70b --data.seq_len=8

# Models.
mkdir pickled
echo '{"architectures": ["LlamaForCausalLM"]}' >pickled/config.json
printf '\200\002ccollections\n' >pickled/pytorch_model.bin
expect 2 "pickled: its weights are a pickle, which can run any code when it is read" $trine generate pickled
expect 2 "pickled/pytorch_model.bin: its weights are a pickle" $trine train book.txt --init pickled/pytorch_model.bin
rm -r pickled
expect 2 "folder: is none of a checkpoint, a run folder that holds one, a Hugging Face folder" $trine generate folder
expect 2 "--prompt-file" $trine generate folder --prompt-file book.txt --prompt x
head -c 1100000 /dev/zero | tr '\0' a >long.txt
expect 2 "long.txt" $trine generate folder --prompt-file long.txt
rm long.txt

# Resuming.
expect 2 "nowhere: there is no such folder" $trine train book.txt -d 1 --data.seq_len=16 --resume nowhere -q
expect 2 "folder: is neither a checkpoint nor a run folder" $trine hash folder
expect 2 "nowhere: there is no such folder" $trine hash nowhere

# Where nothing can be written.
expect 2 "book.txt: the folder cannot be made" $trine train book.txt -d 1 --data.seq_len=16 -o book.txt/run -q
mkdir -p locked/lock
# A limit on the size of files, 512 bytes.
limited() { sh -c 'ulimit -f 1; exec "$@"' sh "$@"; }
$trine train book.txt -d 1 --data.seq_len=16 --steps 1 --eval.every=0 --sample.tokens=0 -q -o small >/dev/null
expect 3 "File too large" limited $trine export small limited-folder
expect 3 "File too large" limited $trine train book.txt -d 1 --data.seq_len=16 --steps 1 -q -o limited-run
[ -z "$(ls -d limited-folder* limited-run/*.tmp 2>/dev/null)" ] || fault "half-written: $(ls -d limited-folder* limited-run/*.tmp)"
rm -rf small limited-run
# One file open at a time: the fewest with which the dynamic loader still works.
open_files=3
few() { sh -c 'ulimit -n "$0"; exec "$@"' "$open_files" "$@"; }
while few $trine --version >/dev/null 2>&1; [ $? = 127 ]; do open_files=$((open_files + 1)); done
expect 3 "Too many open files" few $trine train book.txt -d 1 --data.seq_len=16 --steps 1 -q -o few-run
rm -rf few-run
expect 3 "locked/lock: the lock file cannot be opened: Is a directory" $trine train book.txt -d 1 --data.seq_len=16 -o locked -q
if grep -q "another trainer" stderr; then fault "a lock that cannot be opened is taken for another trainer's"; fi
rm -r locked
expect 2 "folder: is a folder, and a file is to be written there" $trine tokenize train book.txt -o folder
mkfifo pipe
expect 2 "pipe: is a device or a pipe, and a file is to be written there" $trine tokenize train book.txt -o pipe
[ -p pipe ] || fault "a pipe was replaced by a file"
rm -f pipe
expect 3 "/proc/x.json.tmp: cannot be created" $trine tokenize train book.txt -o /proc/x.json
! grep -q merge stderr || fault "the vocabulary was trained before its file was tried"
expect 2 "avx9000" env TRINE_ISA=avx9000 $trine train book.txt

for path in *; do
    case $path in
    book.txt | empty.txt | short.txt | latin1.txt | folder | *.yaml | config.json | stdout | stderr | runs) ;;
    *) fault "$path was left behind" ;;
    esac
done
[ ! -d runs ] || [ -z "$(ls runs)" ] || fault "left in runs: $(ls runs)"
done_all
