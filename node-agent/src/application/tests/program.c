/* The one program of a test's image: says who it is, tries to write, runs another, or takes another
   root with a user namespace of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
    if (count > 1 && !strcmp(words[1], "uid")) {
        printf("%d %d\n", (int)geteuid(), (int)getegid());
    } else if (count > 2 && !strcmp(words[1], "write")) {
        int file = open(words[2], O_WRONLY | O_CREAT, 0644);
        puts(file < 0 ? strerror(errno) : "ok");
    } else if (count > 2 && !strcmp(words[1], "chroot")) {
        int failed = unshare(CLONE_NEWUSER) || chroot(words[2]);
        puts(failed ? strerror(errno) : "ok");
    } else if (count > 2 && !strcmp(words[1], "then")) {
        execv(words[2], words + 2);
        puts(strerror(errno));
    }
    return 0;
}
