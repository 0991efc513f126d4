#!/bin/sh
# Two hosts with a link between them (network namespaces of this machine): a run on both has the hash of one process; where the link
# is cut, the job ends with a sentence instead of waiting, and goes on to that hash when it is there again.
. "${TRINE_SOURCE_DIR:?}/tests/mpi/lib.sh"

a=trine-a-$$ b=trine-b-$$
down()
{
    for host in "$a" "$b"; do
        for process in $(ip netns pids "$host" 2>/dev/null); do kill -9 "$process" 2>/dev/null; done
        ip netns del "$host" 2>/dev/null
    done
    rm -rf "$work"
}
trap down EXIT
trap 'exit 1' INT TERM HUP
ip netns add "$a" 2>/dev/null && ip netns add "$b" && ip link add cable netns "$a" type veth peer name cable netns "$b" ||
    not_tried 13 "the link between two hosts is cut" "no network namespaces here"
n=0
for host in "$a" "$b"; do
    n=$((n + 1))
    ip -n "$host" addr add "10.77.0.$n/24" dev cable
    ip -n "$host" link set cable up
    ip -n "$host" link set lo up
    ip netns exec "$host" sh -c 'echo 3 >/proc/sys/net/ipv4/tcp_retries2' # else mpirun waits 15 minutes for its words to arrive
done

# What mpirun takes for ssh: the last number of an address says which host.
cat >enter <<END
#!/bin/sh
case \$1 in *.1) host=$a ;; *) host=$b ;; esac
shift
own= # a file system of its own, in the folder \`mine\`
[ "\$host" = $b ] && [ -e "$work/own" ] && own='mount -t tmpfs none mine || exit 1;'
exec ip netns exec "\$host" unshare -um sh -c "hostname \$host; cd $work; \$own \$*"
END
chmod +x enter
printf '10.77.0.1 slots=1\n10.77.0.2 slots=1\n' >hosts
network="--mca btl_tcp_if_include 10.77.0.0/24 --mca oob_tcp_if_include 10.77.0.0/24 --mca oob_tcp_keepalive_time 2"
network="$network --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 3 --mca btl self,vader,tcp"
both() # ARGUMENTS...: trine train on both
{
    ./enter 10.77.0.1 timeout 300 mpirun --hostfile hosts --mca plm_rsh_agent "$work/enter" $network --bind-to none -n 2 \
        "$trine" train run.yaml "$@"
}

sed -i 's/steps: 24/steps: 600/; s/checkpoint: {every: 4}/checkpoint: {every: 50}/; s/log_every: 8/log_every: 100/; s/every: 8,/every: 100,/' run.yaml
expect 0 "hash" "$trine" train run.yaml -o one -q
hash=$(the_hash one)
expect 0 "$hash" both -o apart --layout dp=2,zero=1 --trace-steps 2
once_said "2 ranks, processes of 2 hosts"

# Both hosts have the clock of this machine: what rank 1 finds that it differs by must be within what it says that it may be off.
clock() { sed 's/.*"clock_'"$1"'_s":\([-+.e0-9]*\).*/\1/' apart/trace/rank-1.json; }
awk -v offset="$(clock offset)" -v error="$(clock error)" 'BEGIN { exit !(error > 0 && error < 1 && offset <= error && -offset <= error) }' ||
    fault "the clock of rank 1 is off by $(clock offset) s, and says at most $(clock error) s"

mkdir mine && touch own
expect 2 "run.out mine/run: rank 0 has made this folder, and it is not there for this rank: it must be on a file system that all" \
    both -o mine/run -q
[ ! -e mine/run ] || fault "a refused run left its folder"
rm own

expect 0 "apart.json: steps 2 to 3 of 2 ranks" "$trine" explain apart --trace apart.json
once_said "clocks of ranks on other hosts than rank 0's are off by at most" stdout

# The kernel says up to a second later that a cable is there again.
plugged() { ip -n "$a" link show cable | grep -q "state UP" && ip -n "$b" link show cable | grep -q "state UP"; }
# The other host's mpirun daemon too must have seen it: while it lives, a new job there may not start.
left() { ip netns pids "$b" | wc -l; }
tried=0 right=0 wanted=$(tries 1 10)
while [ "$tried" -lt "$wanted" ]; do
    rm -rf cut
    both -o cut -q --timeout 2s >said 2>&1 &
    child=$!
    until_more cut ""
    ip -n "$a" link set cable down
    end_of "$child"
    [ "$took" -lt 300 ] || fault "30 s after the link was cut the job is still there"
    [ "$status" != 0 ] || fault "done without a link"
    once_said "nothing for 2 s from rank 1" said
    for _ in $(seq 300); do [ "$(left)" = 0 ] && break; sleep 0.1; done
    [ "$(left)" = 0 ] || fault "30 s after the link was cut there is something left on the other host"
    ip -n "$a" link set cable up
    for _ in $(seq 100); do plugged && break; sleep 0.1; done
    expect 0 "$hash" both -o cut -q
    tried=$((tried + 1))
    [ "$failures" = 0 ] && right=$((right + 1))
done
row 13 "the link between two hosts is cut" "two network namespaces, \`ip link set down\`, \`--timeout 2s\`; up again when nothing of the job is left on the other host" "$tried" "$right" \
    "\`rank 0: all_reduce of group dp, step 31: nothing for 2 s from rank 1\`; mpirun ends too, if its connections are kept alive (docs/cluster.md)"
done_all
