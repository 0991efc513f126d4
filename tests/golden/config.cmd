# The effective config, with every default: the keys of the manual are those that the program has.
n=0
while [ $n -lt 40 ]; do echo "And God said, Let there be light: and there was light. $n"; n=$((n + 1)); done >text
trine train text -q --out run --depth 1 --steps 1 --data.seq_len=16 --train.batch=2 >/dev/null
cat run/config.yaml
ls run
