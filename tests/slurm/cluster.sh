#!/bin/sh
# A real Slurm for tests: one slurmctld and several slurmd on this machine, with a munge of its own, below one folder.
#
#     cluster.sh up FOLDER NODES     starts it and waits until all nodes are idle; then SLURM_CONF=FOLDER/slurm.conf
#     cluster.sh down FOLDER         ends all that it started; the folder stays
#
# Ports are taken from TRINE_SLURM_PORT (17100) on. Node n2 can be killed by `kill -9 $(cat FOLDER/run/n2.pid)`. What is not
# usual, and why: a requeued job would wait for its credential to lapse, 120 s, hence cred_expire; a node that does not
# answer is given up after 5 s; two nodes of one machine would make the same folder for PMIx, hence a configuration each; virtual
# nodes on a small machine need config_overrides to have more processors than it.
set -eu

up()
{
    folder=$1 nodes=$2
    port=${TRINE_SLURM_PORT:-17100} user=$(id -un) host=$(hostname -s)
    mkdir -p "$folder/run" "$folder/log" "$folder/state" "$folder/spool" "$folder/munge"
    chmod 755 "$folder"
    chmod 711 "$folder/munge"
    dd if=/dev/urandom of="$folder/munge/key" bs=1024 count=1 2>/dev/null
    chmod 600 "$folder/munge/key"
    munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/run/munged.pid" \
        --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" --num-threads=1
    cat >"$folder/slurm.conf" <<CONF
ClusterName=trine
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/%n.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SlurmdTimeout=5
InactiveLimit=0
MinJobAge=300
KillWait=5
JobRequeue=1
AccountingStorageType=accounting_storage/none
CONF
    for i in $(seq "$nodes"); do
        mkdir -p "$folder/spool/n$i"
        echo "NodeName=n$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + i)) CPUs=4 RealMemory=4096 State=UNKNOWN"
    done >>"$folder/slurm.conf"
    echo "PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP" >>"$folder/slurm.conf"
    printf 'CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n' >"$folder/cgroup.conf"
    SLURM_CONF=$folder/slurm.conf
    export SLURM_CONF
    slurmctld -i -f "$SLURM_CONF"
    for i in $(seq "$nodes"); do
        conf=$folder/conf/n$i
        mkdir -p "$conf"
        ln -s "$folder/slurm.conf" "$folder/cgroup.conf" "$conf"
        echo "PMIxCliTmpDirBase=$folder/spool/n$i" >"$conf/mpi.conf"
        slurmd -N "n$i" -f "$conf/slurm.conf"
    done
    for _ in $(seq 300); do
        [ "$(sinfo --noheader --Node --states=idle --format=%N 2>/dev/null | wc -l)" = "$nodes" ] && return
        sleep 0.1
    done
    echo "the nodes did not become idle:" >&2
    sinfo --Node >&2 || true
    tail -n 5 "$folder"/log/* >&2
    exit 1
}

# Politely first, all at once; who does not go within 5 s is killed. Munge goes last: the others sign with it.
down()
{
    folder=$1
    SLURM_CONF=$folder/slurm.conf timeout 10 scancel --user="$(id -un)" >/dev/null 2>&1 || true
    sleep 0.5
    end "$folder"/run/n*.pid "$folder/run/slurmctld.pid"
    end "$folder/run/munged.pid"
}
end() # PID-FILE...
{
    processes=$(cat "$@" 2>/dev/null) || true
    [ -n "$processes" ] || return 0
    for process in $processes; do kill "$process" 2>/dev/null || true; done
    for process in $processes; do
        for _ in $(seq 50); do
            kill -0 "$process" 2>/dev/null || break
            sleep 0.1
        done
        kill -9 "$process" 2>/dev/null || true
    done
}

case ${1:-} in
up) up "$2" "$3" ;;
down) down "$2" ;;
*) echo "usage: cluster.sh up FOLDER NODES | down FOLDER" >&2 && exit 2 ;;
esac
