/* The witness: preloaded into a client, it writes down which buffers the kernel
   was given for TCP sockets, one line per buffer,

     call peer thread 0xADDRESS length result

   into the file that ZM_WITNESS names (peer: TCP port of the other side, 0 if
   it has none; result: what the call returned for the first buffer, the part
   taken of their own for the following ones of sendmsg and writev). Past
   LINES_MAX it counts, and leaves lines `lost N`, of which the last holds.
   Without ZM_WITNESS it passes everything on.

   It sees calls of libc's functions. A runtime that makes its own system
   calls, as Go's net package does, is not seen. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define LINES_MAX 100000
/* While over the cap, every how many lost calls the file is told: what a
   process that is killed leaves behind is this much too low at most. */
#define LOST_STEP 1000
/* Longest line: sendmsg, a port, a thread id, 18 digits of address, two
   numbers of 20 digits, the blanks and the line's end. */
#define LINE_MAX_LENGTH 96

#define NOT_TCP (-1)

static ssize_t (*next_send) (int, const void *, size_t, int);
static ssize_t (*next_sendto) (int, const void *, size_t, int,
                               const struct sockaddr *, socklen_t);
static ssize_t (*next_sendmsg) (int, const struct msghdr *, int);
static ssize_t (*next_write) (int, const void *, size_t);
static ssize_t (*next_writev) (int, const struct iovec *, int);

static int file = -1;
static _Atomic long lines, lost;

/* Not only a constructor: constructors of other libraries may send first. */
static void
find_next (void)
{
  next_sendto = dlsym (RTLD_NEXT, "sendto");
  next_sendmsg = dlsym (RTLD_NEXT, "sendmsg");
  next_write = dlsym (RTLD_NEXT, "write");
  next_writev = dlsym (RTLD_NEXT, "writev");
  next_send = dlsym (RTLD_NEXT, "send");
}

/* By system call: it must not be recorded, nor be a cancellation point that the
   program's own call is not. */
static void
put (const char *text, size_t length, long line_count)
{
  if (syscall (SYS_write, file, text, length) != (long) length)
    lost += line_count;
}

static char *
put_decimal (char *end, int64_t number)
{
  char digits[20];
  int length = 0;
  uint64_t rest = number < 0 ? -(uint64_t) number : (uint64_t) number;
  if (number < 0)
    *end++ = '-';
  do
    digits[length++] = (char) ('0' + rest % 10);
  while (rest /= 10);
  while (length)
    *end++ = digits[--length];
  return end;
}

static char *
put_address (char *end, uint64_t number)
{
  int shift = 60;
  while (shift && !(number >> shift))
    shift -= 4;
  *end++ = '0';
  *end++ = 'x';
  for (; shift >= 0; shift -= 4)
    *end++ = "0123456789abcdef"[number >> shift & 15];
  return end;
}

static void
put_lost (void)
{
  char text[LINE_MAX_LENGTH];
  char *end = stpcpy (text, "lost ");
  end = put_decimal (end, lost);
  *end++ = '\n';
  syscall (SYS_write, file, text, (size_t) (end - text));
}

__attribute__ ((constructor)) static void
begin (void)
{
  find_next ();
  const char *name = getenv ("ZM_WITNESS");
  if (!name || !*name)
    return;
  int opened = open (name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (opened < 0)
    return;
  /* Out of the way of programs that count on low descriptors. */
  file = fcntl (opened, F_DUPFD_CLOEXEC, 500);
  if (file < 0)
    file = opened;
  else
    close (opened);
}

__attribute__ ((destructor)) static void
end (void)
{
  if (file >= 0 && (lines || lost))
    put_lost ();
}

/* Before the call, as afterwards the connection may be gone. Errno is kept. */
static int
tcp_peer (int descriptor)
{
  if (file < 0)
    return NOT_TCP;
  int before = errno;
  int peer = NOT_TCP;
  union
  {
    struct sockaddr any;
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct sockaddr_storage space;
  } name;
  socklen_t length = sizeof name;
  int connected = getpeername (descriptor, &name.any, &length) == 0;
  /* ENOTSOCK leaves here, and so do files and pipes at the cost of one call. */
  if (connected ? name.any.sa_family == AF_INET || name.any.sa_family == AF_INET6
                : errno == ENOTCONN)
    {
      int protocol = 0;
      length = sizeof protocol;
      if (getsockopt (descriptor, SOL_SOCKET, SO_PROTOCOL, &protocol, &length) == 0
          && protocol == IPPROTO_TCP)
        peer = !connected                       ? 0
               : name.any.sa_family == AF_INET ? ntohs (name.four.sin_port)
                                                : ntohs (name.six.sin6_port);
    }
  errno = before;
  return peer;
}

static void
record (const char *call, int peer, const struct iovec *parts, size_t count,
        ssize_t result)
{
  int before = errno;
  char text[32 * LINE_MAX_LENGTH];
  char *end = text;
  long pending = 0;
  int thread = (int) syscall (SYS_gettid);
  int64_t taken = result;
  for (size_t k = 0; k < count; k++)
    {
      if (atomic_fetch_add (&lines, 1) >= LINES_MAX)
        {
          if (atomic_fetch_add (&lost, 1) % LOST_STEP == 0)
            put_lost ();
          continue;
        }
      int64_t length = (int64_t) parts[k].iov_len;
      int64_t part = result < 0 ? -1 : taken < length ? taken : length;
      end = stpcpy (end, call);
      *end++ = ' ';
      end = put_decimal (end, peer);
      *end++ = ' ';
      end = put_decimal (end, thread);
      *end++ = ' ';
      end = put_address (end, (uintptr_t) parts[k].iov_base);
      *end++ = ' ';
      end = put_decimal (end, length);
      *end++ = ' ';
      end = put_decimal (end, k == 0 ? result : part);
      *end++ = '\n';
      pending++;
      if (result > 0)
        taken -= part;
      if (text + sizeof text - end < LINE_MAX_LENGTH)
        {
          put (text, (size_t) (end - text), pending);
          end = text;
          pending = 0;
        }
    }
  if (pending)
    put (text, (size_t) (end - text), pending);
  errno = before;
}

ssize_t
send (int descriptor, const void *buffer, size_t length, int flags)
{
  if (!next_send)
    find_next ();
  int peer = tcp_peer (descriptor);
  ssize_t result = next_send (descriptor, buffer, length, flags);
  if (peer != NOT_TCP)
    record ("send", peer, &(struct iovec) { (void *) buffer, length }, 1, result);
  return result;
}

ssize_t
sendto (int descriptor, const void *buffer, size_t length, int flags,
        const struct sockaddr *address, socklen_t address_length)
{
  if (!next_sendto)
    find_next ();
  int peer = tcp_peer (descriptor);
  ssize_t result
      = next_sendto (descriptor, buffer, length, flags, address, address_length);
  if (peer != NOT_TCP)
    record ("sendto", peer, &(struct iovec) { (void *) buffer, length }, 1, result);
  return result;
}

ssize_t
sendmsg (int descriptor, const struct msghdr *message, int flags)
{
  if (!next_sendmsg)
    find_next ();
  int peer = tcp_peer (descriptor);
  ssize_t result = next_sendmsg (descriptor, message, flags);
  if (peer != NOT_TCP)
    record ("sendmsg", peer, message->msg_iov, message->msg_iovlen, result);
  return result;
}

ssize_t
write (int descriptor, const void *buffer, size_t length)
{
  if (!next_write)
    find_next ();
  int peer = tcp_peer (descriptor);
  ssize_t result = next_write (descriptor, buffer, length);
  if (peer != NOT_TCP)
    record ("write", peer, &(struct iovec) { (void *) buffer, length }, 1, result);
  return result;
}

ssize_t
writev (int descriptor, const struct iovec *parts, int count)
{
  if (!next_writev)
    find_next ();
  int peer = tcp_peer (descriptor);
  ssize_t result = next_writev (descriptor, parts, count);
  if (peer != NOT_TCP)
    record ("writev", peer, parts, count > 0 ? (size_t) count : 0, result);
  return result;
}

/* glibc exports these names of the same functions, too. */
ssize_t __send (int, const void *, size_t, int) __attribute__ ((alias ("send")));
ssize_t __write (int, const void *, size_t) __attribute__ ((alias ("write")));
