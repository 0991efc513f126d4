# Each mistake gets one sentence, which names what was meant where that can be known, and status 2, or 1 of what does not fit.
printf 'In the beginning God created the heaven and the earth.\n' >text
printf 'train:\n  steps: 10\n  bach: 4\n' >run.yaml
try() { trine "$@" && echo "accepted: $*" || echo "status $?: trine $*"; }
try trian text
try train
try train missing.txt
try train text
try train text --steps many
try train text --optimizer.lrr=1
try train text --config run.yaml
try train text --model gtp2
try train text --depth 0
try train text --model llama3-405b --memory 24GiB --threads 2
try generate nowhere --prompt hello
try generate
try hash text
try report nowhere
ls
