/* An MPI program whose result is wrong unless every rank takes part: adds 1 + 2 + … + N over N ranks
   in a ring and by a reduction, and gathers the hosts. Compiled with each MPI of the image. */
#include <mpi.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
    MPI_Init(&argc, &argv);
    int rank, size, length;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    char host[MPI_MAX_PROCESSOR_NAME] = "";
    MPI_Get_processor_name(host, &length);

    long mine = rank + 1, sum = 0, ring = 0;
    MPI_Allreduce(&mine, &sum, 1, MPI_LONG, MPI_SUM, MPI_COMM_WORLD);
    if (rank > 0)
        MPI_Recv(&ring, 1, MPI_LONG, rank - 1, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    ring += mine;
    if (rank + 1 < size)
        MPI_Send(&ring, 1, MPI_LONG, rank + 1, 0, MPI_COMM_WORLD);
    else
        printf("ring %ld\n", ring);

    char hosts[64][MPI_MAX_PROCESSOR_NAME];
    if (size <= 64)
        MPI_Gather(host, sizeof host, MPI_CHAR, hosts, sizeof host, MPI_CHAR, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        printf("ranks %d sum %ld on", size, sum);
        for (int i = 0; i < size && i < 64; i++)
            printf(" %s", hosts[i]);
        printf("\n");
    }
    fflush(stdout);
    MPI_Finalize();
    return 0;
}
