/*
 * What Android's C library has and the desktop's lacks, so that an x86_64 library from an Android archive
 * loads in a desktop JVM. For tests only; preloaded, so that the stream functions below are found first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int *__errno(void) { return __errno_location(); }

size_t __strlen_chk(const char *text, size_t size) {
  (void)size;
  return strlen(text);
}

char *__strchr_chk(const char *text, int wanted, size_t size) {
  (void)size;
  return strchr(text, wanted);
}

char *__strncpy_chk2(char *to, const char *from, size_t count, size_t to_size, size_t from_size) {
  (void)to_size;
  (void)from_size;
  return strncpy(to, from, count);
}

void __assert2(const char *file, int line, const char *function, const char *failed) {
  fprintf(stderr, "%s:%d: %s: %s\n", file, line, function, failed);
  abort();
}

int __system_property_get(const char *name, char *value) {
  (void)name;
  value[0] = 0;
  return 0;
}

void android_set_abort_message(const char *message) { fprintf(stderr, "abort: %s\n", message); }

int __android_log_vprint(int priority, const char *tag, const char *format, va_list arguments) {
  fprintf(stderr, "%d/%s: ", priority, tag);
  int written = vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  return written;
}

int __android_log_print(int priority, const char *tag, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = __android_log_vprint(priority, tag, format, arguments);
  va_end(arguments);
  return written;
}

int __android_log_write(int priority, const char *tag, const char *message) {
  return __android_log_print(priority, tag, "%s", message);
}

/* Android's stdin, stdout and stderr are elements of one array, 152 bytes each; here they are the desktop's. */
enum { STREAM_BYTES = 152 };
char __sF[3 * STREAM_BYTES];

static FILE *desktop(FILE *stream) {
  long offset = (char *)stream - __sF;
  if (offset < 0 || offset >= (long)sizeof __sF) return stream;
  return offset < STREAM_BYTES ? stdin : offset < 2 * STREAM_BYTES ? stdout : stderr;
}

#define REAL(type, name, parameters)                                       \
  static type(*real) parameters;                                           \
  if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name)

int fflush(FILE *stream) {
  REAL(int, fflush, (FILE *));
  return real(stream ? desktop(stream) : stream);
}

int fputs(const char *text, FILE *stream) {
  REAL(int, fputs, (const char *, FILE *));
  return real(text, desktop(stream));
}

int fputc(int character, FILE *stream) {
  REAL(int, fputc, (int, FILE *));
  return real(character, desktop(stream));
}

size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
  REAL(size_t, fwrite, (const void *, size_t, size_t, FILE *));
  return real(data, size, count, desktop(stream));
}

int vfprintf(FILE *stream, const char *format, va_list arguments) {
  REAL(int, vfprintf, (FILE *, const char *, va_list));
  return real(desktop(stream), format, arguments);
}

int fprintf(FILE *stream, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = vfprintf(stream, format, arguments);
  va_end(arguments);
  return written;
}
