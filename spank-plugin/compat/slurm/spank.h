/*
 * Found before the installed <slurm/spank.h> (CPATH in .cargo/config.toml), and includes it.
 *
 * The slurm-spank crate names a function that Slurm declares from 23.11 on. The plugin never calls
 * it, so a declaration is enough: the linked plugin has no reference to it.
 */
#ifndef BARE_METAL_CONTAINER_SPANK_H
#define BARE_METAL_CONTAINER_SPANK_H

#include_next <slurm/spank.h>

#if SLURM_VERSION_NUMBER < SLURM_VERSION_NUM(23, 11, 0)
extern spank_err_t spank_prepend_task_argv(spank_t spank, int argc, const char *argv[]);
#endif

#endif
