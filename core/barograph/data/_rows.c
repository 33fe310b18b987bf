/* Hashes of rows: 64 bits for each row of a table, and their order-free sums, in one pass over the memory.

A row is a sequence of 64-bit words w_0, w_1, ... (little endian; the last one of a field is padded with zeros):
    row = finish(sum over k of fold((w_k ^ s_k) * m_k))      s_k = (k + 1) * STEP      m_k = MULTIPLIER + k * ODD_STEP
fold is the upper half of the 128-bit product xor its lower half, the primitive of XXH3 and wyhash. A sum has no order, so
fields may be added one after the other and in any memory layout. hashing.py holds the same in numpy.
*/

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#define STEP 0x9E3779B97F4A7C15ull       /* 2**64 / golden ratio */
#define MULTIPLIER 0xA0761D6478BD642Full /* of wyhash: 32 bits are set, in no pattern */
#define ODD_STEP 0xD6E8FEB86659FD92ull   /* even, so that every multiplier is odd */
#define FINISH 0xE7037ED1A0B428DBull     /* of wyhash */
#define KEEP_GIL_BELOW (64 * 1024)       /* bytes; less is over sooner than the GIL is given back and taken again */

static inline uint64_t fold(uint64_t one, uint64_t other)
{
#ifdef __SIZEOF_INT128__
    const unsigned __int128 product = (unsigned __int128)one * other;
    return (uint64_t)(product >> 64) ^ (uint64_t)product;
#else
    const uint64_t low = (uint32_t)one * (uint64_t)(uint32_t)other, high = (one >> 32) * (other >> 32);
    const uint64_t first = (one >> 32) * (uint64_t)(uint32_t)other, second = (uint32_t)one * (other >> 32);
    const uint64_t middle = (low >> 32) + (uint32_t)first + (uint32_t)second;
    return (high + (first >> 32) + (second >> 32) + (middle >> 32)) ^ (one * other);
#endif
}

static inline uint64_t word_at(const char *address)
{
    uint64_t word;
    memcpy(&word, address, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    return word;
}

static inline uint64_t half_word_at(const char *address)
{
    uint32_t word;
    memcpy(&word, address, 4);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap32(word);
#endif
    return word;
}

static inline uint64_t last_word(const char *address, int64_t bytes)
{
    char padded[8] = {0};
    memcpy(padded, address, (size_t)bytes);
    return word_at(padded);
}

static inline uint64_t hash_bytes(const char *address, int64_t bytes, uint64_t first)
{
    uint64_t key = (first + 1) * STEP, multiplier = MULTIPLIER + first * ODD_STEP, sum = 0, other = 0;
    for (; bytes >= 16; bytes -= 16, address += 16) {
        sum += fold(word_at(address) ^ key, multiplier);
        other += fold(word_at(address + 8) ^ (key + STEP), multiplier + ODD_STEP);
        key += 2 * STEP;
        multiplier += 2 * ODD_STEP;
    }
    if (bytes >= 8) {
        sum += fold(word_at(address) ^ key, multiplier);
        key += STEP;
        multiplier += ODD_STEP;
        address += 8;
        bytes -= 8;
    }
    if (bytes)
        sum += fold(last_word(address, bytes) ^ key, multiplier);
    return sum + other;
}

static inline uint64_t finished(uint64_t sum) { return fold(sum ^ STEP, FINISH); }

static void add_narrow(uint64_t *sums, const char *address, int64_t rows, int64_t stride, int bytes, uint64_t first)
{
    const uint64_t key = (first + 1) * STEP, multiplier = MULTIPLIER + first * ODD_STEP;
    if (bytes == 8)
        for (int64_t i = 0; i < rows; i++)
            sums[i] += fold(word_at(address + i * stride) ^ key, multiplier);
    else if (bytes == 4)
        for (int64_t i = 0; i < rows; i++)
            sums[i] += fold(half_word_at(address + i * stride) ^ key, multiplier);
    else
        for (int64_t i = 0; i < rows; i++)
            sums[i] += fold(last_word(address + i * stride, bytes) ^ key, multiplier);
}

static void add_wide(uint64_t *sums, const char *address, int64_t rows, int64_t stride, int64_t bytes, uint64_t first)
{
    for (int64_t i = 0; i < rows; i++)
        sums[i] += hash_bytes(address + i * stride, bytes, first);
}

static PyObject *add(PyObject *module, PyObject *args)
{
    unsigned long long sums, address, first;
    long long rows, stride, bytes;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKLLLK", &sums, &address, &rows, &stride, &bytes, &first))
        return NULL;
    if (rows < 0 || bytes < 0 || (rows && bytes && (!sums || !address)) || (bytes && rows > INT64_MAX / bytes)) {
        PyErr_SetString(PyExc_ValueError, "address, rows or bytes is out of range");
        return NULL;
    }
    uint64_t *into = (uint64_t *)(uintptr_t)sums;
    const char *from = (const char *)(uintptr_t)address;
    PyThreadState *state = rows * bytes < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    if (bytes && bytes <= 8)
        add_narrow(into, from, rows, stride, (int)bytes, first);
    else
        add_wide(into, from, rows, stride, bytes, first);
    if (state)
        PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

static PyObject *add_cells(PyObject *module, PyObject *args)
{
    unsigned long long sums, address, offsets, first;
    long long rows, size;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKLKLK", &sums, &address, &size, &offsets, &rows, &first))
        return NULL;
    const int64_t *at = (const int64_t *)(uintptr_t)offsets;
    uint64_t *into = (uint64_t *)(uintptr_t)sums;
    const char *from = (const char *)(uintptr_t)address;
    if (rows < 0 || size < 0 || (rows && (!sums || !at)) || (size && !from)) {
        PyErr_SetString(PyExc_ValueError, "address, rows or size is out of range");
        return NULL;
    }
    for (int64_t i = 0; i < rows; i++)
        if (at[i] < 0 || at[i + 1] < at[i] || at[i + 1] > size) {
            PyErr_SetString(PyExc_ValueError, "the offsets do not rise inside the bytes");
            return NULL;
        }
    PyThreadState *state = size < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    const uint64_t key = (first + 1) * STEP, multiplier = MULTIPLIER + first * ODD_STEP;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t length = at[i + 1] - at[i];
        const uint64_t cell = finished(hash_bytes(from + at[i], length, 0) + (uint64_t)length);
        into[i] += fold(cell ^ key, multiplier);
    }
    if (state)
        PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

static PyObject *add_sparse(PyObject *module, PyObject *args)
{
    unsigned long long sums, row_starts, columns, words, first;
    long long rows, stored;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKLKKLK", &sums, &row_starts, &rows, &columns, &words, &stored, &first))
        return NULL;
    const int64_t *starts = (const int64_t *)(uintptr_t)row_starts, *column = (const int64_t *)(uintptr_t)columns;
    const uint64_t *word = (const uint64_t *)(uintptr_t)words;
    uint64_t *into = (uint64_t *)(uintptr_t)sums;
    if (rows < 0 || stored < 0 || (rows && (!sums || !starts)) || (stored && (!column || !word))) {
        PyErr_SetString(PyExc_ValueError, "address, rows or number of values is out of range");
        return NULL;
    }
    for (int64_t i = 0; i < rows; i++)
        if (starts[i] < 0 || starts[i + 1] < starts[i] || starts[i + 1] > stored) {
            PyErr_SetString(PyExc_ValueError, "the starts of the rows do not rise inside the values");
            return NULL;
        }
    PyThreadState *state = stored * 8 < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    for (int64_t i = 0; i < rows; i++)
        for (int64_t at = starts[i]; at < starts[i + 1]; at++) {
            const uint64_t place = first + (uint64_t)column[at];
            into[i] += fold(word[at] ^ ((place + 1) * STEP), MULTIPLIER + place * ODD_STEP);
        }
    if (state)
        PyEval_RestoreThread(state);
    Py_RETURN_NONE;
}

typedef struct { uint64_t first, second; } Totals;

static inline uint64_t taken(uint64_t sum, Totals *totals)
{
    const uint64_t hash = finished(sum);
    totals->first += hash;
    totals->second += hash * hash;
    return hash;
}

static PyObject *finish(PyObject *module, PyObject *args)
{
    unsigned long long sums;
    long long rows;
    (void)module;
    if (!PyArg_ParseTuple(args, "KL", &sums, &rows))
        return NULL;
    if (rows < 0 || (rows && !sums)) {
        PyErr_SetString(PyExc_ValueError, "address or rows is out of range");
        return NULL;
    }
    uint64_t *hashes = (uint64_t *)(uintptr_t)sums;
    Totals totals = {0, 0};
    PyThreadState *state = rows * 8 < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    for (int64_t i = 0; i < rows; i++)
        hashes[i] = taken(hashes[i], &totals);
    if (state)
        PyEval_RestoreThread(state);
    return Py_BuildValue("(KK)", (unsigned long long)totals.first, (unsigned long long)totals.second);
}

static Totals hash_rows(uint64_t *hashes, const char *from, int64_t rows, int64_t stride, int64_t bytes, uint64_t first)
{
    const uint64_t key = (first + 1) * STEP, multiplier = MULTIPLIER + first * ODD_STEP;
    Totals totals = {0, 0};
    if (bytes == 4)
        for (int64_t i = 0; i < rows; i++)
            hashes[i] = taken(fold(half_word_at(from + i * stride) ^ key, multiplier), &totals);
    else if (bytes == 8)
        for (int64_t i = 0; i < rows; i++)
            hashes[i] = taken(fold(word_at(from + i * stride) ^ key, multiplier), &totals);
    else
        for (int64_t i = 0; i < rows; i++)
            hashes[i] = taken(hash_bytes(from + i * stride, bytes, first), &totals);
    return totals;
}

static PyObject *hash_values(PyObject *module, PyObject *args)
{
    unsigned long long hashes, address, first;
    long long rows, stride, bytes;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKLLLK", &hashes, &address, &rows, &stride, &bytes, &first))
        return NULL;
    if (rows < 0 || bytes < 0 || (rows && (!hashes || !address)) || (bytes && rows > INT64_MAX / bytes)) {
        PyErr_SetString(PyExc_ValueError, "address, rows or bytes is out of range");
        return NULL;
    }
    PyThreadState *state = rows * bytes < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    const Totals totals =
        hash_rows((uint64_t *)(uintptr_t)hashes, (const char *)(uintptr_t)address, rows, stride, bytes, first);
    if (state)
        PyEval_RestoreThread(state);
    return Py_BuildValue("(KK)", (unsigned long long)totals.first, (unsigned long long)totals.second);
}

#define AT_ONCE 16   /* few are kept: most often one test tells that none of so many is */

static PyObject *below(PyObject *module, PyObject *args)
{
    unsigned long long kept, hashes;
    long long rows;
    int bits;
    (void)module;
    if (!PyArg_ParseTuple(args, "KKLi", &kept, &hashes, &rows, &bits))
        return NULL;
    if (rows < 0 || (rows && (!kept || !hashes)) || bits < 1 || bits > 63) {
        PyErr_SetString(PyExc_ValueError, "address, rows or bits is out of range");
        return NULL;
    }
    const uint64_t *from = (const uint64_t *)(uintptr_t)hashes;
    uint64_t *into = (uint64_t *)(uintptr_t)kept;
    int64_t count = 0;
    PyThreadState *state = rows * 8 < KEEP_GIL_BELOW ? NULL : PyEval_SaveThread();
    for (int64_t i = 0; i < rows; i += AT_ONCE) {
        const int64_t stop = rows - i < AT_ONCE ? rows : i + AT_ONCE;
        uint64_t any = 0;   /* its first bit is set if one of the upper parts is 0 */
        if (stop - i == AT_ONCE)
            for (int j = 0; j < AT_ONCE; j++)
                any |= (from[i + j] >> bits) - 1;
        else
            any = ~any;
        if (any >> 63)
            for (int64_t j = i; j < stop; j++)
                if (!(from[j] >> bits))
                    into[count++] = from[j];
    }
    if (state)
        PyEval_RestoreThread(state);
    return PyLong_FromLongLong(count);
}

static PyMethodDef methods[] = {
    {"add", add, METH_VARARGS,
     "add(sums, address, rows, stride, bytes, first)\n--\n\nAdd a field of `bytes` bytes a row to the sums of its rows.\n\n"
     "sums: address of `rows` uint64. stride: bytes from row to row. first: number of the field's first word."},
    {"add_cells", add_cells, METH_VARARGS,
     "add_cells(sums, address, size, offsets, rows, first)\n--\n\nAdd a field of cells of any length as one word a row.\n\n"
     "offsets: address of `rows` + 1 int64, where each cell begins in the `size` bytes at `address`."},
    {"add_sparse", add_sparse, METH_VARARGS,
     "add_sparse(sums, starts, rows, columns, words, stored, first)\n--\n\nAdd stored values, each as the word of its column.\n\n"
     "starts: address of `rows` + 1 int64. columns, words: addresses of `stored` int64 and uint64."},
    {"finish", finish, METH_VARARGS,
     "finish(sums, rows)\n--\n\nTurn sums into the rows' hashes in place; the sums of them and of their squares, modulo 2**64."},
    {"hash_values", hash_values, METH_VARARGS,
     "hash_values(hashes, address, rows, stride, bytes, first)\n--\n\nadd() to zeros and finish() in one pass, for rows of one field."},
    {"below", below, METH_VARARGS,
     "below(kept, hashes, rows, bits)\n--\n\nCopy the hashes below 2**bits, in their order; how many these are."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_rows", "Hashes of rows, in one pass over the memory.", 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__rows(void)
{
    return PyModuleDef_Init(&definition);
}
