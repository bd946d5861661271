# Source this file (bash, zsh) to work with what `make setup` made: the virtual environment, ROS 2, this package and its
# messages. It does the same as: source .venv/bin/activate && source install/setup.bash
_slam3r_ros_root="$(cd "$(dirname "${BASH_SOURCE[0]:-$0}")/.." > /dev/null && pwd)"
if [ ! -f "$_slam3r_ros_root/.venv/bin/activate" ] || [ ! -f "$_slam3r_ros_root/install/setup.sh" ]; then
  echo "slam3r_ros: $_slam3r_ros_root is not set up: run 'make setup' there first" >&2
  unset _slam3r_ros_root
  return 1
fi
. "$_slam3r_ros_root/.venv/bin/activate"
if [ -n "${ZSH_VERSION:-}" ]; then
  . "$_slam3r_ros_root/install/setup.zsh"
else
  . "$_slam3r_ros_root/install/setup.bash"
fi
unset _slam3r_ros_root
