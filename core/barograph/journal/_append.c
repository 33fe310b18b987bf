/* Append frames to one file, in order and whole, or keep them waiting while the disk refuses. Twin of appender.py.

   Whoever changes one changes the other: both write the same bytes, which a test holds.

   The GIL is held from the beginning of a call to its end. That is the locking, and the reason for this file: os.write
   gives the GIL away and, beside one busy Python thread, waits up to its switch interval of 5 ms to get it back.
   What may run other Python code (building a tuple starts the garbage collector, a name is encoded) happens first;
   from the first change of state to the last, only C runs. So calls from __del__ and signal handlers find all in order. */

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#define _FILE_OFFSET_BITS 64
#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <structmember.h>
#include <sys/stat.h>
#ifdef _WIN32
#include <io.h>
#include <windows.h>
#else
#include <time.h>
#include <unistd.h>
#endif

enum { HEADER = 1, KEYS = 2, SCALARS = 3, RECORD = 4, STATISTICS = 5, GAP = 7 };
enum { HEAD_BYTES = 17, CHECKED_BYTES = 11, SUMMED_BYTES = 13, POINT_BYTES = 20 /* key set, step, time */ };
enum { LENGTH_LIMIT = 16 << 20, REPEAT_KEYS_AFTER = 1000, VALUES_LIMIT = 1 << 16, NAMES_LIMIT = 1 << 16 };
enum { NAME_LIMIT = 1024 }; /* characters; Python shortens a longer name, see KEY_LIMIT in values.py */
enum { ITEM_BYTES = 128 /* what a waiting frame costs beside its payload */ };
enum { TALLY_LIMIT = 10000, SPARKS_LIMIT = 256, SPARK_POINTS = 48 };
#define EXACT_INTEGER (1LL << 53)

/* ---- the machine ------------------------------------------------------------------------------------------------ */

#ifdef _WIN32
static double wall_s(void)
{
    FILETIME t;
    GetSystemTimePreciseAsFileTime(&t);
    uint64_t ticks = ((uint64_t)t.dwHighDateTime << 32 | t.dwLowDateTime) - 116444736000000000ULL; /* since 1601 */
    return (double)ticks * 1e-7;
}
static double clock_s(void)
{
    LARGE_INTEGER count, frequency;
    QueryPerformanceCounter(&count);
    QueryPerformanceFrequency(&frequency);
    return (double)count.QuadPart / (double)frequency.QuadPart;
}
static Py_ssize_t write_bytes(int fd, const void *data, size_t length) { return _write(fd, data, (unsigned)length); }
static int64_t file_size(int fd)
{
    struct _stat64 facts;
    return _fstat64(fd, &facts) ? -1 : facts.st_size;
}
#else
static double read_clock(clockid_t which)
{
    struct timespec t;
    clock_gettime(which, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static double wall_s(void) { return read_clock(CLOCK_REALTIME); }
static double clock_s(void) { return read_clock(CLOCK_MONOTONIC); }
static Py_ssize_t write_bytes(int fd, const void *data, size_t length)
{
    Py_ssize_t written;
    do
        written = write(fd, data, length);
    while (written < 0 && errno == EINTR);
    return written;
}
static int64_t file_size(int fd)
{
    struct stat facts;
    return fstat(fd, &facts) ? -1 : (int64_t)facts.st_size;
}
#endif

/* ---- bytes ------------------------------------------------------------------------------------------------------ */

static uint32_t crc_table[8][256];

static void make_crc_table(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        crc_table[0][byte] = crc;
    }
    for (int slice = 1; slice < 8; slice++)
        for (int byte = 0; byte < 256; byte++)
            crc_table[slice][byte] = crc_table[slice - 1][byte] >> 8 ^ crc_table[0][crc_table[slice - 1][byte] & 255];
}

static uint32_t get_u32(const unsigned char *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* The sum of zlib.crc32, eight bytes at a time. */
static uint32_t crc32_of(const unsigned char *p, size_t length, uint32_t crc)
{
    crc = ~crc;
    for (; length >= 8; p += 8, length -= 8) {
        uint32_t low = crc ^ get_u32(p), high = get_u32(p + 4);
        crc = crc_table[7][low & 255] ^ crc_table[6][low >> 8 & 255] ^ crc_table[5][low >> 16 & 255] ^
              crc_table[4][low >> 24] ^ crc_table[3][high & 255] ^ crc_table[2][high >> 8 & 255] ^
              crc_table[1][high >> 16 & 255] ^ crc_table[0][high >> 24];
    }
    while (length--)
        crc = crc >> 8 ^ crc_table[0][(crc ^ *p++) & 255];
    return ~crc;
}

static void put_number(unsigned char *p, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (unsigned char)(value >> 8 * i);
}

static void put_double(unsigned char *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    put_number(p, bits, 8);
}

static double get_double(const unsigned char *p)
{
    uint64_t bits = get_u32(p) | (uint64_t)get_u32(p + 4) << 32;
    double value;
    memcpy(&value, &bits, 8);
    return value;
}

/* ---- what an appender holds ------------------------------------------------------------------------------------- */

typedef struct { /* one metric so far; the least and greatest of none are NaN */
    double last, min, max;
    int64_t last_step, min_step, max_step, count, stride; /* stride 0: no curve */
    int sparks;
    double *spark;
} Numbers;

typedef struct {
    uint32_t number;
    Py_ssize_t count;
    PyObject *tuple;
    PyObject **names;  /* borrowed from the tuple */
    Numbers **numbers; /* NULL for a name beyond the limit of the tally */
    int64_t announced; /* sequence of its last writing in this file, -1: not in this file */
    size_t definition_bytes;
    unsigned char *definition; /* a KEYS frame but for its head */
} KeySet;

typedef struct Item { /* a frame that waits, but for its head */
    struct Item *next;
    unsigned char kind;
    size_t payload_bytes;
    unsigned char frame[];
} Item;

typedef struct {
    PyObject_HEAD
    int fd;
    uint32_t seed, sequence;
    char is_closed, is_blocked;
    int error;
    unsigned char *open_frame; /* handed to the disk and not there whole */
    size_t open_bytes;
    Item *first, *last;
    int64_t waiting_bytes, limit_bytes;
    PyObject *table; /* names -> number */
    KeySet **sets;   /* by number, from `base` on */
    size_t set_count, set_room;
    uint32_t base;
    int64_t names_held;
    KeySet *last_set;
    PyObject *tally; /* name -> index */
    Numbers **numbers;
    size_t number_count;
    unsigned char *buffer; /* the frame being made */
    size_t buffer_bytes;
    long long size, file_records, file_points, calls, points, last_step;
    long long lost_records, lost_points, lost_bytes;
    char has_step;
    double cost_s;
} Appender;

typedef enum { REFUSED, BEGUN, DONE } Written; /* REFUSED: not even begun */

static int is_counted(int kind) { return kind == SCALARS || kind == RECORD || kind == STATISTICS; }

static int64_t points_in(int kind, size_t payload_bytes)
{
    return kind == SCALARS ? ((int64_t)payload_bytes - POINT_BYTES) / 8 : 0;
}

/* ---- frames to the disk: nothing here runs Python code ------------------------------------------------------------ */

static void note_written(Appender *self, int kind, size_t frame_bytes)
{
    self->file_records += is_counted(kind);
    self->file_points += points_in(kind, frame_bytes - HEAD_BYTES);
    self->size += (int64_t)frame_bytes;
    self->sequence++;
}

/* Write the open frame from byte `there` on. */
static int hand_over_rest(Appender *self, size_t there)
{
    size_t rest = self->open_bytes - there;
    Py_ssize_t written = rest ? write_bytes(self->fd, self->open_frame + there, rest) : 0;
    if (written < 0 || (size_t)written < rest) {
        self->error = written < 0 ? errno : ENOSPC;
        return 0;
    }
    note_written(self, self->open_frame[2], self->open_bytes);
    free(self->open_frame);
    self->open_frame = NULL;
    return 1;
}

/* Bring a frame that was begun to its end: the rest of it, or all of it if the file was changed meanwhile. */
static int settle(Appender *self)
{
    int64_t there = file_size(self->fd) - self->size;
    if (there > (int64_t)self->open_bytes)
        self->size += there;
    return hand_over_rest(self, there >= 0 && there <= (int64_t)self->open_bytes ? (size_t)there : 0);
}

/* frame: HEAD_BYTES of room, then the payload. */
static Written write_frame(Appender *self, int kind, unsigned char *frame, size_t payload_bytes)
{
    size_t length = HEAD_BYTES + payload_bytes;
    frame[0] = 0xF5;
    frame[1] = 0xBA;
    frame[2] = (unsigned char)kind;
    put_number(frame + 3, payload_bytes, 4);
    put_number(frame + 7, self->sequence, 4);
    put_number(frame + 11, crc32_of(frame, CHECKED_BYTES, self->seed) & 0xFFFF, 2);
    uint32_t head = crc32_of(frame, SUMMED_BYTES, self->seed);
    put_number(frame + 13, crc32_of(frame + HEAD_BYTES, payload_bytes, head), 4);

    Py_ssize_t written = write_bytes(self->fd, frame, length);
    if (written == (Py_ssize_t)length) {
        note_written(self, kind, length);
        return DONE;
    }
    self->error = written < 0 ? errno : ENOSPC; /* the next write would say so; most often it is this */
    self->open_frame = malloc(length);
    if (self->open_frame == NULL) { /* what is there is passed over by the reader; the frame is written anew */
        self->size += written > 0 ? written : 0;
        return REFUSED;
    }
    memcpy(self->open_frame, frame, length);
    self->open_bytes = length;
    return BEGUN;
}

/* Write a key set if it is due; 0 if the disk refuses. */
static int announce(Appender *self, KeySet *keys)
{
    if (keys->announced < 0 || (int64_t)self->sequence - keys->announced > REPEAT_KEYS_AFTER) {
        for (int times = keys->announced < 0 ? 2 : 1; times; times--)
            if (write_frame(self, KEYS, keys->definition, keys->definition_bytes) != DONE)
                return 0;
        keys->announced = (int64_t)self->sequence - 1;
    }
    return 1;
}

static Written write_item(Appender *self, int kind, unsigned char *frame, size_t payload_bytes)
{
    if (self->open_frame != NULL && !settle(self))
        return REFUSED;
    if (kind == SCALARS && !announce(self, self->sets[get_u32(frame + HEAD_BYTES) - self->base]))
        return REFUSED;
    return write_frame(self, kind, frame, payload_bytes);
}

static void lose(Appender *self, int kind, size_t payload_bytes)
{
    if (is_counted(kind)) {
        int64_t points = points_in(kind, payload_bytes);
        self->points -= points;
        self->lost_records++;
        self->lost_points += points;
        self->lost_bytes += (int64_t)payload_bytes + HEAD_BYTES;
    }
}

static Item *new_item(int kind, const unsigned char *frame, size_t payload_bytes)
{
    Item *item = malloc(sizeof(Item) + HEAD_BYTES + payload_bytes);
    if (item != NULL) {
        item->next = NULL;
        item->kind = (unsigned char)kind;
        item->payload_bytes = payload_bytes;
        memcpy(item->frame, frame, HEAD_BYTES + payload_bytes);
    }
    return item;
}

static void drop_first(Appender *self)
{
    Item *item = self->first;
    self->first = item->next;
    if (self->first == NULL)
        self->last = NULL;
    self->waiting_bytes -= (int64_t)item->payload_bytes + ITEM_BYTES;
    free(item);
}

static int put_frame(Appender *self, int kind, unsigned char *frame, size_t payload_bytes)
{
    if (!self->is_blocked) {
        Written written = write_item(self, kind, frame, payload_bytes);
        if (written == DONE)
            return 1;
        self->is_blocked = 1;
        if (written == BEGUN)
            return 0; /* flush() completes it before anything else */
    }
    int64_t cost = (int64_t)payload_bytes + ITEM_BYTES;
    Item *item = self->waiting_bytes + cost <= self->limit_bytes ? new_item(kind, frame, payload_bytes) : NULL;
    if (item == NULL) {
        lose(self, kind, payload_bytes);
        return 0;
    }
    if (self->last != NULL)
        self->last->next = item;
    else
        self->first = item;
    self->last = item;
    self->waiting_bytes += cost;
    return 0;
}

static void forget_announcements(Appender *self)
{
    for (size_t i = 0; i < self->set_count; i++)
        self->sets[i]->announced = -1;
}

/* ---- summaries -------------------------------------------------------------------------------------------------- */

static void tally_value(Numbers *n, double value, int64_t step)
{
    if (value < n->min || (n->min != n->min && value == value)) {
        n->min = value;
        n->min_step = step;
    }
    if (value > n->max || (n->max != n->max && value == value)) {
        n->max = value;
        n->max_step = step;
    }
    if (n->stride && n->count % n->stride == 0) {
        if (n->sparks == SPARK_POINTS) { /* this point stands at an even multiple of the stride */
            n->sparks /= 2;
            for (int i = 0; i < n->sparks; i++)
                n->spark[i] = n->spark[2 * i];
            n->stride *= 2;
        }
        n->spark[n->sparks++] = value;
    }
    n->count++;
    n->last = value;
    n->last_step = step;
}

/* The numbers of a name, new if need be; *found stays NULL beyond the limit. -1: no memory. */
static int find_numbers(Appender *self, PyObject *name, Numbers **found)
{
    PyObject *index = PyDict_GetItemWithError(self->tally, name);
    if (index != NULL) {
        *found = self->numbers[PyLong_AsSize_t(index)];
        return 0;
    }
    if (PyErr_Occurred())
        return -1;
    if (self->number_count >= TALLY_LIMIT)
        return 0;
    int has_spark = self->number_count < SPARKS_LIMIT;
    Numbers *n = calloc(1, sizeof(Numbers));
    double *spark = n != NULL && has_spark ? malloc(SPARK_POINTS * sizeof(double)) : NULL;
    index = PyLong_FromSize_t(self->number_count);
    if (n == NULL || (has_spark && spark == NULL) || index == NULL || PyDict_SetItem(self->tally, name, index) < 0) {
        free(spark);
        free(n);
        Py_XDECREF(index);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
        return -1;
    }
    Py_DECREF(index);
    n->spark = spark;
    n->stride = has_spark;
    n->last = n->min = n->max = Py_NAN;
    self->numbers[self->number_count++] = n;
    *found = n;
    return 0;
}

/* ---- key sets --------------------------------------------------------------------------------------------------- */

static void free_set(KeySet *keys)
{
    if (keys != NULL) {
        free(keys->definition);
        free(keys->names);
        free(keys->numbers);
        Py_XDECREF(keys->tuple);
        free(keys);
    }
}

static void clear_table(Appender *self)
{
    PyDict_Clear(self->table);
    for (size_t i = 0; i < self->set_count; i++)
        free_set(self->sets[i]);
    self->base += (uint32_t)self->set_count;
    self->set_count = 0;
    self->names_held = 0;
    self->last_set = NULL;
}

/* Encode the names into the definition. 1: done, 0: too long for a frame, -1: error. */
static int define(KeySet *keys)
{
    size_t used = HEAD_BYTES + 8, room = used + 32 * (size_t)keys->count;
    keys->definition = malloc(room);
    if (keys->definition == NULL)
        return PyErr_NoMemory(), -1;
    for (Py_ssize_t i = 0; i < keys->count; i++) {
        char *text;
        Py_ssize_t length;
        PyObject *encoded = PyUnicode_AsEncodedString(keys->names[i], "utf-8", "surrogatepass");
        if (encoded == NULL || PyBytes_AsStringAndSize(encoded, &text, &length) < 0) {
            Py_XDECREF(encoded);
            return -1;
        }
        size_t needed = used + 4 + (size_t)length;
        if (needed > HEAD_BYTES + LENGTH_LIMIT) {
            Py_DECREF(encoded);
            return 0;
        }
        if (needed > room) {
            room = 2 * needed;
            unsigned char *larger = realloc(keys->definition, room);
            if (larger == NULL) {
                Py_DECREF(encoded);
                return PyErr_NoMemory(), -1;
            }
            keys->definition = larger;
        }
        put_number(keys->definition + used, (uint64_t)length, 4);
        memcpy(keys->definition + used + 4, text, (size_t)length);
        used = needed;
        Py_DECREF(encoded);
    }
    keys->definition_bytes = used - HEAD_BYTES;
    put_number(keys->definition + HEAD_BYTES + 4, (uint64_t)keys->count, 4);
    return 1;
}

/* A new key set in the table. 1: done, 0: too large for a frame, -1: error. */
static int add_set(Appender *self, PyObject *tuple, KeySet **found)
{
    Py_ssize_t count = PyTuple_Size(tuple);
    if (count > VALUES_LIMIT)
        return 0;
    KeySet *keys = calloc(1, sizeof(KeySet));
    if (keys == NULL)
        return PyErr_NoMemory(), -1;
    Py_INCREF(tuple);
    keys->tuple = tuple;
    keys->count = count;
    keys->announced = -1;
    keys->names = malloc((size_t)(count + 1) * sizeof(PyObject *));
    keys->numbers = calloc((size_t)count + 1, sizeof(Numbers *));
    int result = keys->names != NULL && keys->numbers != NULL ? 1 : (PyErr_NoMemory(), -1);
    for (Py_ssize_t i = 0; result == 1 && i < count; i++)
        keys->names[i] = PyTuple_GetItem(tuple, i);
    if (result == 1)
        result = define(keys);
    for (Py_ssize_t i = 0; result == 1 && i < count; i++)
        if (find_numbers(self, keys->names[i], &keys->numbers[i]) < 0)
            result = -1;
    if (result != 1) {
        free_set(keys);
        return result;
    }
    /* Beyond the limit the table starts anew; while frames wait, it grows with them, inside their limit. */
    if (self->names_held + count > NAMES_LIMIT && !self->is_blocked)
        clear_table(self);
    if (self->set_count == self->set_room) {
        size_t room = self->set_room ? 2 * self->set_room : 16;
        KeySet **larger = realloc(self->sets, room * sizeof(KeySet *));
        if (larger == NULL) {
            free_set(keys);
            return PyErr_NoMemory(), -1;
        }
        self->sets = larger;
        self->set_room = room;
    }
    keys->number = self->base + (uint32_t)self->set_count;
    put_number(keys->definition + HEAD_BYTES, keys->number, 4);
    PyObject *number = PyLong_FromUnsignedLong(keys->number);
    if (number == NULL || PyDict_SetItem(self->table, tuple, number) < 0) {
        Py_XDECREF(number);
        free_set(keys);
        return -1;
    }
    Py_DECREF(number);
    self->sets[self->set_count++] = keys;
    self->names_held += count;
    *found = keys;
    return 1;
}

static int find_set(Appender *self, PyObject *tuple, KeySet **found)
{
    PyObject *number = PyDict_GetItemWithError(self->table, tuple);
    if (number == NULL)
        return PyErr_Occurred() ? -1 : add_set(self, tuple, found);
    *found = self->sets[(uint32_t)PyLong_AsUnsignedLong(number) - self->base];
    return 1;
}

/* ---- points ----------------------------------------------------------------------------------------------------- */

static int reserve(Appender *self, Py_ssize_t values)
{
    size_t needed = HEAD_BYTES + POINT_BYTES + 8 * (size_t)values;
    if (needed > self->buffer_bytes) {
        unsigned char *larger = realloc(self->buffer, 2 * needed);
        if (larger == NULL)
            return 0;
        self->buffer = larger;
        self->buffer_bytes = 2 * needed;
    }
    return 1;
}

/* Write the values that stand in the buffer. */
static void append_points(Appender *self, KeySet *keys, int64_t step, double time_s)
{
    if (keys->count) {
        unsigned char *payload = self->buffer + HEAD_BYTES, *values = payload + POINT_BYTES;
        put_number(payload, keys->number, 4);
        put_number(payload + 4, (uint64_t)step, 8);
        put_double(payload + 12, time_s);
        put_frame(self, SCALARS, self->buffer, POINT_BYTES + 8 * (size_t)keys->count);
        self->points += keys->count;
        for (Py_ssize_t i = 0; i < keys->count; i++)
            if (keys->numbers[i] != NULL)
                tally_value(keys->numbers[i], get_double(values + 8 * i), step);
    }
    self->last_step = step;
    self->has_step = 1;
}

typedef enum { ODD, OTHER_NAMES, SAME_NAMES } Match;

/* Bring the values of a dict into the buffer, and say whether its keys are those of a set. ODD: leave it to Python. */
static Match gather(Appender *self, PyObject *metrics, const KeySet *keys)
{
    Py_ssize_t count = PyDict_Size(metrics), position = 0, i = 0;
    int same = keys != NULL && keys->count == count;
    if (count > VALUES_LIMIT || !reserve(self, count))
        return ODD;
    unsigned char *p = self->buffer + HEAD_BYTES + POINT_BYTES;
    for (PyObject *key, *value; PyDict_Next(metrics, &position, &key, &value); i++, p += 8) {
        double number;
        if (!PyUnicode_CheckExact(key))
            return ODD;
        if (same && key != keys->names[i] && PyUnicode_Compare(key, keys->names[i]) != 0)
            same = 0;
        if (PyFloat_CheckExact(value))
            number = PyFloat_AsDouble(value);
        else if (value == Py_True || value == Py_False)
            number = value == Py_True;
        else if (PyLong_CheckExact(value)) {
            int overflow;
            long long integer = PyLong_AsLongLongAndOverflow(value, &overflow);
            if (overflow || integer > EXACT_INTEGER || integer < -EXACT_INTEGER)
                return ODD;
            number = (double)integer;
        } else
            return ODD;
        put_double(p, number);
    }
    return same ? SAME_NAMES : OTHER_NAMES;
}

/* Whether a name can be kept as it is: not blank, not longer than a key may be, and valid Unicode. */
static int is_plain_name(PyObject *name)
{
    Py_ssize_t length;
    const char *text = PyUnicode_GetLength(name) <= NAME_LIMIT ? PyUnicode_AsUTF8AndSize(name, &length) : NULL;
    for (Py_ssize_t i = 0; text != NULL && i < length; i++)
        if ((unsigned char)text[i] > ' ')
            return 1;
    return 0;
}

/* The key set of a dict whose keys are all exact strings; NULL: leave it to Python. */
static KeySet *set_of(Appender *self, PyObject *metrics)
{
    KeySet *keys = NULL;
    PyObject *list = PyDict_Keys(metrics), *tuple = list != NULL ? PyList_AsTuple(list) : NULL;
    int usable = tuple != NULL;
    if (usable && PyDict_GetItemWithError(self->table, tuple) == NULL)
        for (Py_ssize_t i = 0; usable && i < PyTuple_Size(tuple); i++)
            usable = is_plain_name(PyTuple_GetItem(tuple, i));
    if (!usable || find_set(self, tuple, &keys) < 1) {
        PyErr_Clear(); /* no memory: Python tries again, and says what is wrong if it fails as well */
        keys = NULL;
    }
    Py_XDECREF(tuple);
    Py_XDECREF(list);
    return keys;
}

/* A step as given: 1, or 0 where it is no exact int within 64 bits. None is the number of calls so far. */
static int read_step(Appender *self, PyObject *given, int64_t *step)
{
    if (given == NULL || given == Py_None) {
        *step = self->calls;
        return 1;
    }
    int overflow = 1;
    if (PyLong_CheckExact(given))
        *step = PyLong_AsLongLongAndOverflow(given, &overflow);
    return !overflow;
}

static PyObject *Appender_log(Appender *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    static const char *const parameters[] = {"metrics", "step", "time_s"};
    PyObject *given[3] = {NULL, NULL, NULL};
    double start = clock_s();
    Py_ssize_t named = names != NULL ? PyTuple_Size(names) : 0;
    if (count > 3)
        return PyErr_Format(PyExc_TypeError, "log() takes at most 3 arguments (%zd given)", count);
    for (Py_ssize_t i = 0; i < count; i++)
        given[i] = args[i];
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GetItem(names, i);
        int at = 0;
        while (at < 3 && PyUnicode_CompareWithASCIIString(name, parameters[at]) != 0)
            at++;
        if (at == 3 || given[at] != NULL)
            return PyErr_Format(PyExc_TypeError, "log() got an unexpected or repeated argument '%U'", name);
        given[at] = args[count + i];
    }
    PyObject *metrics = given[0];
    if (metrics == NULL)
        return PyErr_Format(PyExc_TypeError, "log() missing its argument 'metrics'");
    double time_s = -1.0;
    int64_t step;
    int has_time = given[2] != NULL && given[2] != Py_None;
    if (has_time && (time_s = PyFloat_AsDouble(given[2])) == -1.0 && PyErr_Occurred())
        return NULL;
    if (self->is_closed || !PyDict_CheckExact(metrics) || !read_step(self, given[1], &step))
        Py_RETURN_FALSE;

    KeySet *keys = self->last_set;
    Match match = gather(self, metrics, keys);
    if (match == OTHER_NAMES) {
        keys = set_of(self, metrics);
        /* Again, because building a tuple may have run code that changed the dict, logged or closed. */
        match = keys != NULL && !self->is_closed ? gather(self, metrics, keys) : ODD;
    }
    if (match != SAME_NAMES)
        Py_RETURN_FALSE;
    self->last_set = keys;
    append_points(self, keys, step, has_time ? time_s : wall_s());
    self->calls++;
    self->cost_s += clock_s() - start;
    Py_RETURN_TRUE;
}

static PyObject *Appender_scalars(Appender *self, PyObject *args, PyObject *named)
{
    static char *parameters[] = {"names", "step", "values", "time_s", "count_call", NULL};
    PyObject *names, *given_step, *given_values, *given_time = Py_None, *values;
    int count_call = 1;
    double start = clock_s(), time_s = 0.0, *numbers = NULL;
    if (!PyArg_ParseTupleAndKeywords(args, named, "O!OO|Op", parameters, &PyTuple_Type, &names, &given_step,
                                     &given_values, &given_time, &count_call))
        return NULL;
    if (given_time != Py_None && (time_s = PyFloat_AsDouble(given_time)) == -1.0 && PyErr_Occurred())
        return NULL;
    if ((values = PySequence_Tuple(given_values)) == NULL)
        return NULL;
    PyObject *result = NULL;
    KeySet *keys = NULL;
    int64_t step;
    Py_ssize_t count = PyTuple_Size(values);
    if (count != PyTuple_Size(names)) {
        PyErr_Format(PyExc_ValueError, "%zd names for %zd values", PyTuple_Size(names), count);
        goto end;
    }
    for (Py_ssize_t i = 0; i < count; i++)
        if (!PyUnicode_Check(PyTuple_GetItem(names, i))) {
            PyErr_SetString(PyExc_TypeError, "a name is a str");
            goto end;
        }
    if ((numbers = malloc((size_t)(count + 1) * sizeof(double))) == NULL) {
        PyErr_NoMemory();
        goto end;
    }
    for (Py_ssize_t i = 0; i < count; i++) { /* may run the values' own code, so it comes first */
        numbers[i] = PyFloat_AsDouble(PyTuple_GetItem(values, i));
        if (numbers[i] == -1.0 && PyErr_Occurred())
            goto end;
    }
    int found = find_set(self, names, &keys);
    if (found == 0)
        PyErr_Format(PyExc_ValueError, "%zd names are too many or too long for one frame of 16 MiB", count);
    if (found < 1)
        goto end;
    if (!read_step(self, given_step, &step)) {
        PyErr_Format(PyExc_ValueError, "step %R is no int of at most 64 bits", given_step);
        goto end;
    }
    if (!reserve(self, count)) {
        PyErr_NoMemory();
        goto end;
    }
    result = PyLong_FromLongLong(step);
    if (result != NULL && !self->is_closed) {
        for (Py_ssize_t i = 0; i < count; i++)
            put_double(self->buffer + HEAD_BYTES + POINT_BYTES + 8 * i, numbers[i]);
        append_points(self, keys, step, given_time != Py_None ? time_s : wall_s());
        self->calls += count_call;
        self->cost_s += clock_s() - start;
    }
end:
    free(numbers);
    Py_DECREF(values);
    return result;
}

static PyObject *Appender_summary_keys(Appender *self, PyObject *unused)
{
    PyObject *list = PyDict_Keys(self->tally), *tuple = list != NULL ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(list);
    return tuple;
}

static PyObject *row_of(const Numbers *n)
{
    Numbers now = *n; /* making objects may run code that logs */
    double points[SPARK_POINTS];
    if (now.stride)
        memcpy(points, n->spark, sizeof(points));
    PyObject *spark = PyList_New(0);
    for (int i = 0; spark != NULL && i < now.sparks; i++) {
        PyObject *point = PyFloat_FromDouble(points[i]);
        if (point == NULL || PyList_Append(spark, point) < 0)
            Py_CLEAR(spark);
        Py_XDECREF(point);
    }
    if (spark == NULL)
        return NULL;
    if (now.min != now.min)
        return Py_BuildValue("(dLOOOOLN)", now.last, (long long)now.last_step, Py_None, Py_None, Py_None, Py_None,
                             (long long)now.count, spark);
    return Py_BuildValue("(dLdLdLLN)", now.last, (long long)now.last_step, now.min, (long long)now.min_step, now.max,
                         (long long)now.max_step, (long long)now.count, spark);
}

static PyObject *Appender_summary(Appender *self, PyObject *unused)
{
    PyObject *keys = PyDict_Keys(self->tally), *summary = PyDict_New();
    Py_ssize_t count = keys != NULL && summary != NULL ? PyList_Size(keys) : -1;
    for (Py_ssize_t i = 0; i < count; i++) {
        const Numbers *n = self->numbers[i]; /* names are never taken out, so they stand in the order of their index */
        PyObject *row = n->count ? row_of(n) : NULL;
        if ((row == NULL && n->count) || (row != NULL && PyDict_SetItem(summary, PyList_GetItem(keys, i), row) < 0)) {
            Py_XDECREF(row);
            count = -1;
            break;
        }
        Py_XDECREF(row);
    }
    Py_XDECREF(keys);
    if (count < 0)
        Py_CLEAR(summary);
    return summary;
}

/* ---- other frames ----------------------------------------------------------------------------------------------- */

/* A frame but for its head, to be freed by the caller; NULL with an error set. */
static unsigned char *room_for(const void *payload, Py_ssize_t payload_bytes)
{
    if (payload_bytes > LENGTH_LIMIT)
        return PyErr_Format(PyExc_ValueError, "a frame of %zd bytes is longer than the 16 MiB it may have", payload_bytes),
               NULL;
    unsigned char *frame = malloc(HEAD_BYTES + (size_t)payload_bytes);
    if (frame == NULL)
        return (unsigned char *)PyErr_NoMemory();
    memcpy(frame + HEAD_BYTES, payload, (size_t)payload_bytes);
    return frame;
}

static PyObject *Appender_put(Appender *self, PyObject *args)
{
    int kind;
    const char *payload;
    Py_ssize_t payload_bytes;
    if (!PyArg_ParseTuple(args, "iy#", &kind, &payload, &payload_bytes))
        return NULL;
    if (kind == SCALARS) /* refers to a key set, which only log() and scalars() know */
        return PyErr_Format(PyExc_ValueError, "scalars are written by scalars()");
    unsigned char *frame = room_for(payload, payload_bytes);
    if (frame == NULL)
        return NULL;
    int written = put_frame(self, kind, frame, (size_t)payload_bytes);
    free(frame);
    return PyBool_FromLong(written);
}

static PyObject *Appender_flush(Appender *self, PyObject *args)
{
    Py_ssize_t count;
    if (!PyArg_ParseTuple(args, "n", &count))
        return NULL;
    self->error = 0;
    if (self->fd < 0 || (self->open_frame != NULL && !settle(self)))
        Py_RETURN_FALSE;
    while (self->first != NULL && count-- > 0) {
        Item *item = self->first;
        Written written = write_item(self, item->kind, item->frame, item->payload_bytes);
        if (written != REFUSED)
            drop_first(self);
        if (written != DONE)
            Py_RETURN_FALSE;
    }
    if (self->first == NULL)
        self->is_blocked = 0;
    return PyBool_FromLong(self->first == NULL);
}

/* Give the file up; what was begun waits again, if it is worth it. */
static void detach(Appender *self)
{
    self->is_blocked = 1;
    self->fd = -1;
    if (self->open_frame == NULL)
        return;
    int kind = self->open_frame[2];
    size_t payload_bytes = self->open_bytes - HEAD_BYTES;
    Item *item = is_counted(kind) || kind == GAP ? new_item(kind, self->open_frame, payload_bytes) : NULL;
    if (item != NULL) {
        item->next = self->first;
        self->first = item;
        if (self->last == NULL)
            self->last = item;
        self->waiting_bytes += (int64_t)payload_bytes + ITEM_BYTES;
    } else
        lose(self, kind, payload_bytes);
    free(self->open_frame);
    self->open_frame = NULL;
}

static PyObject *Appender_begin(Appender *self, PyObject *args)
{
    int fd;
    unsigned int seed;
    const char *header;
    Py_ssize_t header_bytes;
    if (!PyArg_ParseTuple(args, "iIy#", &fd, &seed, &header, &header_bytes))
        return NULL;
    unsigned char *frame = room_for(header, header_bytes);
    if (frame == NULL)
        return NULL;
    detach(self);
    self->fd = fd;
    self->seed = seed;
    self->sequence = 0;
    int written = 0;
    if (fd >= 0) {
        self->size = self->file_records = self->file_points = 0;
        forget_announcements(self);
        written = write_frame(self, HEADER, frame, (size_t)header_bytes) == DONE;
    }
    free(frame);
    return PyBool_FromLong(written);
}

static PyObject *Appender_renew(Appender *self, PyObject *args)
{
    const char *header;
    Py_ssize_t header_bytes;
    if (!PyArg_ParseTuple(args, "y#", &header, &header_bytes))
        return NULL;
    unsigned char *frame = room_for(header, header_bytes);
    if (frame == NULL)
        return NULL;
    self->size = file_size(self->fd);
    int written = put_frame(self, HEADER, frame, (size_t)header_bytes);
    for (size_t i = 0; i < self->set_count; i++)
        if (self->sets[i]->announced >= 0) {
            self->sets[i]->announced = -1;
            /* At once: points that were written since the cut may be the last ones under these names. */
            if (written && !announce(self, self->sets[i]))
                self->is_blocked = 1, written = 0;
        }
    free(frame);
    return PyBool_FromLong(written);
}

static PyObject *Appender_count_lost(Appender *self, PyObject *args)
{
    long long records, points, bytes;
    if (!PyArg_ParseTuple(args, "LLL", &records, &points, &bytes))
        return NULL;
    self->lost_records += records;
    self->lost_points += points;
    self->lost_bytes += bytes;
    Py_RETURN_NONE;
}

static PyObject *Appender_lose_waiting(Appender *self, PyObject *unused)
{
    detach(self);
    while (self->first != NULL) {
        lose(self, self->first->kind, self->first->payload_bytes);
        drop_first(self);
    }
    Py_RETURN_NONE;
}

static PyObject *Appender_spend(Appender *self, PyObject *seconds)
{
    double spent_s = PyFloat_AsDouble(seconds);
    if (spent_s == -1.0 && PyErr_Occurred())
        return NULL;
    self->cost_s += spent_s;
    Py_RETURN_NONE;
}

static PyObject *Appender_close(Appender *self, PyObject *unused)
{
    self->is_closed = 1;
    Py_RETURN_NONE;
}

static PyObject *Appender_abandon(Appender *self, PyObject *unused)
{
    self->is_closed = self->is_blocked = 1;
    self->fd = -1;
    Py_RETURN_NONE;
}

/* ---- the type --------------------------------------------------------------------------------------------------- */

static PyObject *Appender_new(PyTypeObject *type, PyObject *args, PyObject *named)
{
    static char *parameters[] = {"buffer_limit_bytes", "calls", NULL};
    long long limit_bytes, calls = 0;
    if (!PyArg_ParseTupleAndKeywords(args, named, "L|L", parameters, &limit_bytes, &calls))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Appender *self = (Appender *)allocate(type, 0);
    if (self == NULL)
        return NULL;
    self->fd = -1;
    self->is_blocked = 1;
    self->limit_bytes = limit_bytes;
    self->calls = calls;
    self->table = PyDict_New();
    self->tally = PyDict_New();
    self->numbers = calloc(TALLY_LIMIT, sizeof(Numbers *));
    if (self->table == NULL || self->tally == NULL || self->numbers == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static void Appender_dealloc(Appender *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    while (self->first != NULL)
        drop_first(self);
    for (size_t i = 0; i < self->set_count; i++)
        free_set(self->sets[i]);
    for (size_t i = 0; i < self->number_count; i++) {
        free(self->numbers[i]->spark);
        free(self->numbers[i]);
    }
    free(self->sets);
    free(self->numbers);
    free(self->buffer);
    free(self->open_frame);
    Py_XDECREF(self->table);
    Py_XDECREF(self->tally);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

static PyObject *get_last_step(Appender *self, void *unused)
{
    if (self->has_step)
        return PyLong_FromLongLong(self->last_step);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"log", (PyCFunction)(void (*)(void))Appender_log, METH_FASTCALL | METH_KEYWORDS, NULL},
    {"scalars", (PyCFunction)(void (*)(void))Appender_scalars, METH_VARARGS | METH_KEYWORDS, NULL},
    {"put", (PyCFunction)Appender_put, METH_VARARGS, NULL},
    {"flush", (PyCFunction)Appender_flush, METH_VARARGS, NULL},
    {"begin", (PyCFunction)Appender_begin, METH_VARARGS, NULL},
    {"renew", (PyCFunction)Appender_renew, METH_VARARGS, NULL},
    {"count_lost", (PyCFunction)Appender_count_lost, METH_VARARGS, NULL},
    {"lose_waiting", (PyCFunction)Appender_lose_waiting, METH_NOARGS, NULL},
    {"spend", (PyCFunction)Appender_spend, METH_O, NULL},
    {"summary", (PyCFunction)Appender_summary, METH_NOARGS, NULL},
    {"summary_keys", (PyCFunction)Appender_summary_keys, METH_NOARGS, NULL},
    {"close", (PyCFunction)Appender_close, METH_NOARGS, NULL},
    {"abandon", (PyCFunction)Appender_abandon, METH_NOARGS, NULL},
    {NULL, NULL, 0, NULL},
};

#define FIELD(name, type) {#name, type, offsetof(Appender, name), READONLY, NULL}
static PyMemberDef members[] = {
    FIELD(is_blocked, T_BOOL),       FIELD(error, T_INT),           FIELD(size, T_LONGLONG),
    FIELD(file_records, T_LONGLONG), FIELD(file_points, T_LONGLONG),
    FIELD(calls, T_LONGLONG),        FIELD(points, T_LONGLONG),     FIELD(cost_s, T_DOUBLE),
    FIELD(lost_records, T_LONGLONG), FIELD(lost_points, T_LONGLONG), FIELD(lost_bytes, T_LONGLONG),
    {NULL, 0, 0, 0, NULL},
};

static PyGetSetDef getters[] = {{"last_step", (getter)get_last_step, NULL, NULL, NULL}, {NULL, NULL, NULL, NULL, NULL}};

static PyType_Slot type_slots[] = {
    {Py_tp_new, Appender_new},    {Py_tp_dealloc, Appender_dealloc}, {Py_tp_methods, methods},
    {Py_tp_members, members},     {Py_tp_getset, getters},
    {Py_tp_doc, "The hot path in C. See _append.pyi."},
    {0, NULL},
};

static PyType_Spec type_spec = {"barograph.journal._append.Appender", sizeof(Appender), 0, Py_TPFLAGS_DEFAULT, type_slots};

static int execute(PyObject *module)
{
    make_crc_table();
    PyObject *type = PyType_FromSpec(&type_spec);
    int failed = type == NULL || PyModule_AddObjectRef(module, "Appender", type) < 0;
    Py_XDECREF(type);
    return failed ? -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};

static struct PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT, "_append", "Append frames to one file.", 0, NULL, module_slots, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__append(void) { return PyModuleDef_Init(&module_definition); }
