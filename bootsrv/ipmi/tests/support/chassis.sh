#!/bin/sh
dir=$1; operation=$2; shift 2
while [ $# -gt 0 ]; do
  if [ "$operation" = get ]; then
    case $1 in
      power) echo "power:$(cat "$dir/power")" ;;
      boot) echo "boot:$(cat "$dir/boot")" ;;
      *) exit 1 ;;
    esac
    shift
  else
    case $1 in
      power) echo "$2" > "$dir/power"; echo "power $2" >> "$dir/log" ;;
      boot) echo "$2" > "$dir/boot" ;;
      reset) echo reset >> "$dir/log" ;;
      shutdown) echo shutdown >> "$dir/log"; echo 0 > "$dir/power" ;;
      *) exit 1 ;;
    esac
    shift 2
  fi
done
