# What up and down share. Both read it with `.` and are called as NAME [STATE_DIR].

usage() { sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; }
say() { echo "local-cluster: $*" >&2; }
die() {
  say "error: $*"
  exit 1
}

# ours PID NAME: the process is still the daemon NAME of this state folder, and not another process
# with a reused pid. Ours have the folder in the command line or, slurmdbd, in SLURM_CONF.
ours() {
  local command
  { read -r command <"/proc/$1/comm"; } 2>/dev/null || return 1
  [ "$command" = "${2%%-*}" ] && grep -aqsF "$state/" "/proc/$1/cmdline" "/proc/$1/environ"
}
# alive NAME: the daemon in NAME.pid is running
alive() {
  local pid
  { read -r pid <"$state/$1.pid"; } 2>/dev/null && ours "$pid" "$1"
}

# One up or down at a time in a state folder, and only in one's own: its files are executed
lock() {
  [ -O "$state" ] || die "state folder '$state' belongs to another user: choose another"
  exec 9>"$state/lock"
  flock -w 600 9 || die "another up or down is running in '$state'"
}

case "${1-}" in
  -h | --help)
    usage
    exit 0
    ;;
  -*)
    usage >&2
    exit 2
    ;;
esac
if [ $# -gt 1 ]; then
  usage >&2
  exit 2
fi
[ "$(id -u)" = 0 ] || die "SLURM's daemons need root: run this as root, or in a container"

state=$(realpath -m "${1:-${TRANSFERLAB_CLUSTER:-${TMPDIR:-/tmp}/transferlab-cluster}}")
[ ${#state} -le 70 ] || die "state folder '$state' has ${#state} characters," \
  "too many for the path of a socket: choose one of at most 70"
[[ $state =~ ^[A-Za-z0-9/._-]+$ ]] || die "state folder '$state':" \
  "slurm.conf accepts only letters, digits and ._-: choose another"

export PATH=$PATH:/usr/sbin:/sbin SLURM_CONF=$state/slurm.conf
