/* Statistics of many tensors in one pass over their memory: moments, extremes, zeros, what is not finite, a histogram.

   Never build this with -ffast-math: a library linked that way switches the thread that loads it to flush-to-zero, and
   so changes the training it only watches. Every sum is a double about a pivot, because sum of squares minus squared
   mean loses all digits of a tensor far from zero. */

#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000
#endif
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) || defined(_M_X64)
#include <immintrin.h>
#define HAS_MXCSR 1
#endif
#if defined(__x86_64__) && defined(__GNUC__)
#define HAS_AVX2 1
#define AVX2 __attribute__((target("avx2,fma,f16c")))
#endif

#define BLOCK 1024   /* elements treated at a time: the block and the bins in use stay in the first cache */
#define TURN 5       /* each block samples a column further on by this, so that no column of a matrix is favoured */
#define TABLES 4     /* equal neighbours would wait for each other's store if they counted in one table */
#define BINS 1024    /* sign, exponent and first fraction bit of a float32 */
#define BIN_SHIFT 22
#define BIN_INFINITE 510   /* from here on (of each sign) infinity and NaN */
#define FOLD_BLOCKS (1 << 20)   /* before the 32-bit counters of a table can run over */
#define MAX_DIMS 64
#define KEEP_GIL_BELOW 262144   /* elements, about 60 us: taking the GIL back can cost milliseconds beside a busy thread */
#define SAFE_SQUARE 0x1p400     /* beyond (or below the inverse) squares of doubles leave their range */

typedef enum { F32, F64, F16, BF16, I8, I16, I32, I64, U8, U16, U32, U64, BOOL, KINDS } Kind;
static const char *const kind_names[KINDS] = {"float32", "float64", "float16", "bfloat16", "int8",   "int16", "int32",
                                              "int64",   "uint8",   "uint16",  "uint32",   "uint64", "bool"};
static const int kind_sizes[KINDS] = {4, 8, 2, 2, 1, 2, 4, 8, 1, 2, 4, 8, 1};

typedef struct { int64_t size, stride; } Dim;   /* stride in bytes */

typedef struct {
    const char *address;
    Kind kind;
    int64_t count;
    double centre;
    int sampling;      /* every n-th element enters the histogram; 0: no histogram */
    int ndim;          /* 0: contiguous */
    Dim *dims;
    /* found */
    int64_t finite, zeros, nans, pos_infs, neg_infs;
    double mean, squares, deviation, least, greatest;   /* squares: sum of the squared deviations from the mean */
    int occupied;
    uint16_t *bins;
    uint64_t *counts;
} Job;

typedef struct {
    uint32_t tables[TABLES][BINS];
    uint64_t totals[BINS];
    char gathered[BLOCK * 8];
    double converted[BLOCK];
    int64_t at[MAX_DIMS];
} Workspace;

typedef struct {
    double sum, squares, least, greatest;
    int64_t zeros;
} Sums;

/* ---- one block, plain C ---- */

#define VALUE(data, wide, i) ((wide) ? ((const double *)(data))[i] : (double)((const float *)(data))[i])

static inline void plain_moments(const void *data, int wide, int n, double pivot, double scale, Sums *sums)
{
    double sum[4] = {0}, squares[4] = {0}, least = sums->least, greatest = sums->greatest;
    int64_t zeros = 0;
    int i = 0;
    for (; i + 4 <= n; i += 4)
        for (int lane = 0; lane < 4; lane++) {
            double value = VALUE(data, wide, i + lane), away = value * scale - pivot;
            sum[lane] += away;
            squares[lane] += away * away;
            least = value < least ? value : least;
            greatest = value > greatest ? value : greatest;
            zeros += value == 0;
        }
    for (; i < n; i++) {
        double value = VALUE(data, wide, i), away = value * scale - pivot;
        sum[0] += away;
        squares[0] += away * away;
        least = value < least ? value : least;
        greatest = value > greatest ? value : greatest;
        zeros += value == 0;
    }
    sums->sum += (sum[0] + sum[1]) + (sum[2] + sum[3]);
    sums->squares += (squares[0] + squares[1]) + (squares[2] + squares[3]);
    sums->least = least;
    sums->greatest = greatest;
    sums->zeros += zeros;
}

/* The same for a block that holds infinities or NaN, which it counts and leaves out. Returns how many were finite. */
static int careful_moments(const void *data, int wide, int n, double pivot, double scale, Sums *sums, Job *job)
{
    int finite = 0;
    for (int i = 0; i < n; i++) {
        double value = VALUE(data, wide, i);
        if (value != value) {
            job->nans++;
        } else if (value - value != 0) {
            *(value > 0 ? &job->pos_infs : &job->neg_infs) += 1;
        } else {
            double away = value * scale - pivot;
            finite++;
            sums->sum += away;
            sums->squares += away * away;
            sums->least = value < sums->least ? value : sums->least;
            sums->greatest = value > sums->greatest ? value : sums->greatest;
            sums->zeros += value == 0;
        }
    }
    return finite;
}

static inline uint32_t bin_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits >> BIN_SHIFT;
}

/* A double is cut to the 24 significant bits of a float, never rounded up into the next bin, and kept in its range. */
static inline uint32_t bin_of_double(double value)
{
    uint64_t bits;
    if (value - value != 0)
        return BINS - 1;
    memcpy(&bits, &value, 8);
    bits &= ~(uint64_t)0x1FFFFFFF;
    memcpy(&value, &bits, 8);
    return bin_of((float)(value > FLT_MAX ? FLT_MAX : value < -FLT_MAX ? -FLT_MAX : value));
}

static inline void plain_count(const void *data, int wide, int n, int from, int every, double centre,
                               uint32_t (*tables)[BINS])
{
    const float near_centre = (float)centre;
    int table = 0;
    for (int i = from; i < n; i += every) {
        uint32_t bin = wide ? bin_of_double(((const double *)data)[i] - centre)
                            : bin_of(((const float *)data)[i] - near_centre);
        tables[table++ % TABLES][bin]++;
    }
}

static void plain_block(const void *data, int wide, int n, int offset, double pivot, double scale, const Job *job,
                        Sums *sums, uint32_t (*tables)[BINS])
{
    if (wide)
        plain_moments(data, 1, n, pivot, scale, sums);
    else
        plain_moments(data, 0, n, pivot, 1, sums);
    if (job->sampling && wide)
        plain_count(data, 1, n, offset, job->sampling, job->centre, tables);
    else if (job->sampling)
        plain_count(data, 0, n, offset, job->sampling, job->centre, tables);
}

/* ---- one block of floats, AVX2 ---- */

#ifdef HAS_AVX2
#define STRIDE 32   /* four vectors a turn, in two sets of sums: one set would wait for its own additions */

AVX2 static double across(__m256d vector)
{
    double lanes[4];
    _mm256_storeu_pd(lanes, vector);
    return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

/* Moments and counting interleave in one loop, so that the counters' stores hide behind the arithmetic.
   every: 0, 1, 8 or 32, known when compiled. n: a multiple of STRIDE. */
AVX2 static inline __attribute__((always_inline)) void avx2_strides(const float *x, int n, int offset, const int every,
                                                                    double pivot, float centre, Sums *sums,
                                                                    uint32_t (*tables)[BINS])
{
    const __m256d pivots = _mm256_set1_pd(pivot), none = _mm256_setzero_pd();
    const __m256 centres = _mm256_set1_ps(centre), zero = _mm256_setzero_ps();
    __m256d sum[4] = {none, none, none, none}, squares[4] = {none, none, none, none};
    __m256 least[2], greatest[2];
    __m256i zeros = _mm256_setzero_si256();
    least[0] = least[1] = _mm256_set1_ps(INFINITY);
    greatest[0] = greatest[1] = _mm256_set1_ps(-INFINITY);
    int turn = 0;
    for (const float *end = x + n; x < end; x += STRIDE) {
        if (every == STRIDE)
            tables[turn++ & (TABLES - 1)][bin_of(x[offset] - centre)]++;
#pragma GCC unroll 4
        for (int part = 0; part < 4; part++) {
            const float *at = x + 8 * part;
            const int set = part & 1;
            __m256 values = _mm256_loadu_ps(at);
            __m256d low = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(at)), pivots);
            __m256d high = _mm256_sub_pd(_mm256_cvtps_pd(_mm_loadu_ps(at + 4)), pivots);
            least[set] = _mm256_min_ps(values, least[set]);
            greatest[set] = _mm256_max_ps(values, greatest[set]);
            zeros = _mm256_sub_epi32(zeros, _mm256_castps_si256(_mm256_cmp_ps(values, zero, _CMP_EQ_OQ)));
            sum[2 * set] = _mm256_add_pd(sum[2 * set], low);
            sum[2 * set + 1] = _mm256_add_pd(sum[2 * set + 1], high);
            squares[2 * set] = _mm256_fmadd_pd(low, low, squares[2 * set]);
            squares[2 * set + 1] = _mm256_fmadd_pd(high, high, squares[2 * set + 1]);
            if (every == 8)
                tables[part][bin_of(at[offset] - centre)]++;
            if (every == 1) {
                uint64_t pairs[4];
                __m256i bits = _mm256_castps_si256(_mm256_sub_ps(values, centres));
                _mm256_storeu_si256((__m256i *)pairs, _mm256_srli_epi32(bits, BIN_SHIFT));
                for (int pair = 0; pair < 4; pair++) {
                    tables[2 * set][(uint32_t)pairs[pair]]++;
                    tables[2 * set + 1][pairs[pair] >> 32]++;
                }
            }
        }
    }
    float lows[8], highs[8];
    int32_t zero_lanes[8];
    _mm256_storeu_ps(lows, _mm256_min_ps(least[0], least[1]));
    _mm256_storeu_ps(highs, _mm256_max_ps(greatest[0], greatest[1]));
    _mm256_storeu_si256((__m256i *)zero_lanes, zeros);
    for (int lane = 0; lane < 8; lane++) {
        sums->least = lows[lane] < sums->least ? lows[lane] : sums->least;
        sums->greatest = highs[lane] > sums->greatest ? highs[lane] : sums->greatest;
        sums->zeros += zero_lanes[lane];
    }
    sums->sum += across(_mm256_add_pd(_mm256_add_pd(sum[0], sum[1]), _mm256_add_pd(sum[2], sum[3])));
    sums->squares += across(_mm256_add_pd(_mm256_add_pd(squares[0], squares[1]), _mm256_add_pd(squares[2], squares[3])));
}

AVX2 static void avx2_block(const float *x, int n, int offset, double pivot, const Job *job, Sums *sums,
                            uint32_t (*tables)[BINS])
{
    const int whole = n - n % STRIDE, every = job->sampling;
    const float centre = (float)job->centre;
    int counted = whole;
    if (every == 8) {
        avx2_strides(x, whole, offset, 8, pivot, centre, sums, tables);
    } else if (every == 1) {
        avx2_strides(x, whole, 0, 1, pivot, centre, sums, tables);
    } else if (every == STRIDE) {
        avx2_strides(x, whole, offset, STRIDE, pivot, centre, sums, tables);
    } else {
        avx2_strides(x, whole, 0, 0, pivot, centre, sums, tables);
        counted = 0;
    }
    plain_moments(x + whole, 0, n - whole, pivot, 1, sums);
    if (every)
        plain_count(x, 0, n, counted + offset, every, centre, tables);
}

AVX2 static void avx2_wide_block(const double *x, int n, int offset, double pivot, double scale, const Job *job,
                                 Sums *sums, uint32_t (*tables)[BINS])
{
    plain_moments(x, 1, n, pivot, scale, sums);
    if (job->sampling)
        plain_count(x, 1, n, offset, job->sampling, job->centre, tables);
}

AVX2 static void avx2_halves(const uint16_t *halves, int n, float *out)
{
    int i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(out + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(halves + i))));
    for (; i < n; i++)
        out[i] = _cvtsh_ss(halves[i]);
}
#endif

/* ---- from memory to a block ---- */

static void plain_halves(const uint16_t *halves, int n, float *out)
{
    for (int i = 0; i < n; i++) {
        uint32_t magnitude = (uint32_t)(halves[i] & 0x7FFF) << 13, sign = (uint32_t)(halves[i] & 0x8000) << 16;
        float value;
        memcpy(&value, &magnitude, 4);
        value *= 0x1p112f;   /* moves the exponent's origin from 15 to 127; right for subnormals as well */
        memcpy(&magnitude, &value, 4);
        magnitude |= sign | ((halves[i] & 0x7C00) == 0x7C00 ? 0x7F800000u : 0u);
        memcpy(out + i, &magnitude, 4);
    }
}

#define TO_DOUBLE(type)                               \
    for (int i = 0; i < n; i++)                       \
        ((double *)out)[i] = ((const type *)data)[i]; \
    return out

/* The block as floats (float kinds up to 32 bits) or doubles (the rest): the data itself where it already is that. */
static const void *converted(Kind kind, const void *data, int n, int vectors, void *out)
{
    switch (kind) {
    case F16:
#ifdef HAS_AVX2
        if (vectors) {
            avx2_halves(data, n, out);
            return out;
        }
#endif
        plain_halves(data, n, out);
        return out;
    case BF16:
        for (int i = 0; i < n; i++) {
            uint32_t bits = (uint32_t)((const uint16_t *)data)[i] << 16;
            memcpy((float *)out + i, &bits, 4);
        }
        return out;
    case I8: TO_DOUBLE(int8_t);
    case I16: TO_DOUBLE(int16_t);
    case I32: TO_DOUBLE(int32_t);
    case I64: TO_DOUBLE(int64_t);
    case U8: TO_DOUBLE(uint8_t);
    case U16: TO_DOUBLE(uint16_t);
    case U32: TO_DOUBLE(uint32_t);
    case U64: TO_DOUBLE(uint64_t);
    case BOOL:
        for (int i = 0; i < n; i++)
            ((double *)out)[i] = ((const uint8_t *)data)[i] != 0;
        return out;
    default:
        return data;
    }
}

/* The next n elements of a strided tensor, side by side. at: where each dimension stands; moved on. */
static void gather(const Job *job, int n, int64_t *at, char *out)
{
    const int size = kind_sizes[job->kind], last = job->ndim - 1;
    while (n > 0) {
        const char *from = job->address;
        int64_t run = job->dims[last].size - at[last];
        for (int dim = 0; dim <= last; dim++)
            from += at[dim] * job->dims[dim].stride;
        run = run < n ? run : n;
        if (job->dims[last].stride == size) {   /* rows of a batch have no gaps within */
            memcpy(out, from, run * size);
            out += run * size;
        } else for (int64_t i = 0; i < run; i++, from += job->dims[last].stride, out += size)
            switch (size) {   /* a copy of a known size is one move */
            case 1: *out = *from; break;
            case 2: memcpy(out, from, 2); break;
            case 4: memcpy(out, from, 4); break;
            default: memcpy(out, from, 8);
            }
        n -= (int)run;
        at[last] += run;
        for (int dim = last; dim > 0 && at[dim] == job->dims[dim].size; dim--) {
            at[dim] = 0;
            at[dim - 1]++;
        }
    }
}

/* ---- one tensor ---- */

static double first_finite(const void *data, int wide, int n)
{
    for (int i = 0; i < n; i++) {
        double value = VALUE(data, wide, i);
        if (value - value == 0)
            return value;
    }
    return 0;
}

static void fold(Workspace *space)
{
    for (int table = 0; table < TABLES; table++)
        for (int bin = 0; bin < BINS; bin++)
            space->totals[bin] += space->tables[table][bin];
    memset(space->tables, 0, sizeof space->tables);
}

/* Each block is summed about the mean of all before it and joined to them: M2 += Q - S*S/n, mean += S/n (Welford, by blocks).
   scale: doubles are multiplied by it first, where their squares would leave the range. */
static void pass(Job *job, double scale, int vectors, Workspace *space)
{
    const int wide = job->kind == F64 || job->kind > BF16;
    const int64_t item = kind_sizes[job->kind], sampling = job->sampling;
    int64_t index = 0;
    job->finite = job->zeros = job->nans = job->pos_infs = job->neg_infs = 0;
    job->mean = job->squares = 0;
    job->least = INFINITY;
    job->greatest = -INFINITY;
    memset(space->at, 0, sizeof space->at);
    if (sampling) {
        memset(space->tables, 0, sizeof space->tables);
        memset(space->totals, 0, sizeof space->totals);
    }
    for (int64_t done = 0; done < job->count; done += BLOCK, index++) {
        const int n = job->count - done < BLOCK ? (int)(job->count - done) : BLOCK;
        const int offset = sampling ? (int)((TURN * index) % sampling) : 0;
        const char *raw = job->address + done * item;
        Sums sums = {0, 0, job->least, job->greatest, 0};
        int finite = n;
        if (job->ndim) {
            gather(job, n, space->at, space->gathered);
            raw = space->gathered;
        }
        const void *data = converted(job->kind, raw, n, vectors, space->converted);
        if (!job->finite)
            job->mean = first_finite(data, wide, n) * scale;
#ifdef HAS_AVX2
        if (vectors && wide)
            avx2_wide_block(data, n, offset, job->mean, scale, job, &sums, space->tables);
        else if (vectors)
            avx2_block(data, n, offset, job->mean, job, &sums, space->tables);
        else
#endif
            plain_block(data, wide, n, offset, job->mean, scale, job, &sums, space->tables);
        if (sums.sum - sums.sum != 0) {   /* infinity and NaN spread into the sum: no test of every element */
            sums = (Sums){0, 0, job->least, job->greatest, 0};
            finite = careful_moments(data, wide, n, job->mean, scale, &sums, job);
        }
        if (finite) {
            job->finite += finite;
            job->squares += sums.squares - sums.sum * (sums.sum / (double)job->finite);
            job->mean += sums.sum / (double)job->finite;
        }
        job->zeros += sums.zeros;
        job->least = sums.least;
        job->greatest = sums.greatest;
        if (sampling && index % FOLD_BLOCKS == FOLD_BLOCKS - 1)
            fold(space);
    }
    if (sampling)
        fold(space);
    job->mean /= scale;
    job->deviation = job->squares > 0 ? sqrt(job->squares / (double)job->finite) / scale : 0;
}

/* Returns 0, or -1 without memory. */
static int measure(Job *job, int vectors, Workspace *space)
{
    pass(job, 1, vectors, space);
    if (!job->finite) {
        job->mean = job->deviation = job->least = job->greatest = NAN;
    } else if (job->kind == F64) {
        double size = fmax(fabs(job->least), fabs(job->greatest));
        if (size > SAFE_SQUARE || (size > 0 && size < 1 / SAFE_SQUARE)) {
            int exponent;
            frexp(size, &exponent);
            pass(job, ldexp(1, exponent < -1000 ? 1000 : -exponent), vectors, space);
        }
    }
    if (!job->sampling)
        return 0;
    for (int bin = 0; bin < BINS; bin++)
        job->occupied += (bin & (BINS / 2 - 1)) < BIN_INFINITE && space->totals[bin];
    job->bins = malloc(job->occupied * sizeof *job->bins + 1);
    job->counts = malloc(job->occupied * sizeof *job->counts + 1);
    if (!job->bins || !job->counts)
        return -1;
    for (int bin = 0, next = 0; bin < BINS; bin++)
        if ((bin & (BINS / 2 - 1)) < BIN_INFINITE && space->totals[bin]) {
            job->bins[next] = (uint16_t)bin;
            job->counts[next++] = space->totals[bin];
        }
    return 0;
}

static int measure_all(Job *jobs, Py_ssize_t count, int vectors)
{
    Workspace *space = malloc(sizeof *space);
    int failed = !space;
#ifdef HAS_MXCSR
    /* torch.set_flush_denormal() must not change what is counted here, nor may anything here change that. */
    const unsigned int control = _mm_getcsr();
    _mm_setcsr(0x1F80);
#endif
    for (Py_ssize_t i = 0; i < count && !failed; i++)
        failed = measure(&jobs[i], vectors, space);
#ifdef HAS_MXCSR
    _mm_setcsr(control);
#endif
    free(space);
    return failed ? -1 : 0;
}

/* ---- from and to Python ---- */

static int by_stride(const void *one, const void *other)
{
    const int64_t a = ((const Dim *)one)->stride, b = ((const Dim *)other)->stride;
    return (a < b) - (a > b);
}

/* Statistics do not depend on the order: sort the dimensions by stride, forwards, and join those that lie side by side. */
static void simplify(Job *job)
{
    const int64_t item = kind_sizes[job->kind];
    Dim *dims = job->dims;
    int kept = 0;
    for (int i = 0; i < job->ndim; i++) {
        Dim dim = dims[i];
        if (dim.size == 1)
            continue;
        if (dim.stride < 0) {
            job->address += (dim.size - 1) * dim.stride;
            dim.stride = -dim.stride;
        }
        dims[kept++] = dim;
    }
    qsort(dims, kept, sizeof *dims, by_stride);
    job->ndim = 0;
    for (int i = 0; i < kept; i++)
        if (job->ndim && dims[job->ndim - 1].stride == dims[i].size * dims[i].stride) {
            dims[job->ndim - 1].size *= dims[i].size;
            dims[job->ndim - 1].stride = dims[i].stride;
        } else {
            dims[job->ndim++] = dims[i];
        }
    if (job->ndim == 1 && dims[0].stride == item)
        job->ndim = 0;
}

static int read_dims(Job *job, PyObject *shape, PyObject *strides)
{
    const Py_ssize_t ndim = PyTuple_Size(shape);
    if (ndim < 0 || PyTuple_Size(strides) != ndim || ndim > MAX_DIMS) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_ValueError, "shape and strides must be of one length, at most %d", MAX_DIMS);
        return -1;
    }
    job->dims = malloc((size_t)(ndim + 1) * sizeof *job->dims);
    if (!job->dims) {
        PyErr_NoMemory();
        return -1;
    }
    int64_t elements = 1;
    for (Py_ssize_t i = 0; i < ndim; i++) {
        job->dims[i].size = PyLong_AsLongLong(PyTuple_GetItem(shape, i));
        job->dims[i].stride = PyLong_AsLongLong(PyTuple_GetItem(strides, i));
        if (PyErr_Occurred())
            return -1;
        if (job->dims[i].size < 0 || (job->dims[i].size > 0 && elements > INT64_MAX / job->dims[i].size)) {
            PyErr_SetString(PyExc_ValueError, "a size is negative or too large");
            return -1;
        }
        elements *= job->dims[i].size;
    }
    if (elements != job->count) {
        PyErr_SetString(PyExc_ValueError, "count and shape differ");
        return -1;
    }
    job->ndim = (int)ndim;
    if (elements > 0)
        simplify(job);
    return 0;
}

static int read_job(PyObject *row, Job *job)
{
    unsigned long long address;
    long long count;
    int kind;
    PyObject *shape, *strides;
    if (!PyTuple_Check(row)) {
        PyErr_SetString(PyExc_TypeError, "a tensor is given as a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(row, "KiLdiOO", &address, &kind, &count, &job->centre, &job->sampling, &shape, &strides))
        return -1;
    if (kind < 0 || kind >= KINDS || count < 0 || (count && !address) || job->sampling < 0 || job->sampling > BLOCK
        || job->centre - job->centre != 0) {
        PyErr_SetString(PyExc_ValueError, "address, kind, count, centre or sampling is out of range");
        return -1;
    }
    job->address = (const char *)(uintptr_t)address;
    job->kind = (Kind)kind;
    job->count = count;
    return shape == Py_None ? 0 : read_dims(job, shape, strides);
}

static PyObject *result(const Job *job)
{
    return Py_BuildValue("(LLLLLddddy#y#)", (long long)job->count, (long long)job->zeros, (long long)job->nans,
                         (long long)job->pos_infs, (long long)job->neg_infs, job->mean, job->deviation, job->least,
                         job->greatest, job->bins ? (const char *)job->bins : "",
                         (Py_ssize_t)(job->occupied * sizeof *job->bins), job->counts ? (const char *)job->counts : "",
                         (Py_ssize_t)(job->occupied * sizeof *job->counts));
}

static int has_vectors;

static PyObject *compute(PyObject *module, PyObject *args)
{
    PyObject *rows, *results = NULL;
    int vectors = 1;
    int64_t elements = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "O!|p", &PyList_Type, &rows, &vectors))
        return NULL;
    vectors = vectors && has_vectors;
    const Py_ssize_t count = PyList_Size(rows);
    Job *jobs = calloc((size_t)count + 1, sizeof *jobs);
    if (!jobs)
        return PyErr_NoMemory();
    for (Py_ssize_t i = 0; i < count; i++) {
        if (read_job(PyList_GetItem(rows, i), &jobs[i]))
            goto done;
        elements += jobs[i].count;
    }
    int failed;
    if (elements < KEEP_GIL_BELOW) {
        failed = measure_all(jobs, count, vectors);
    } else {
        Py_BEGIN_ALLOW_THREADS
        failed = measure_all(jobs, count, vectors);
        Py_END_ALLOW_THREADS
    }
    if (failed) {
        PyErr_NoMemory();
        goto done;
    }
    results = PyList_New(count);
    for (Py_ssize_t i = 0; results && i < count; i++) {
        PyObject *one = result(&jobs[i]);
        if (!one || PyList_SetItem(results, i, one))
            Py_CLEAR(results);
    }
done:
    for (Py_ssize_t i = 0; i < count; i++) {
        free(jobs[i].dims);
        free(jobs[i].bins);
        free(jobs[i].counts);
    }
    free(jobs);
    return results;
}

static int prepare(PyObject *module)
{
    PyObject *kinds = PyTuple_New(KINDS);
    if (!kinds)
        return -1;
    for (int kind = 0; kind < KINDS; kind++)
        PyTuple_SetItem(kinds, kind, PyUnicode_FromString(kind_names[kind]));
#ifdef HAS_AVX2
    __builtin_cpu_init();
    has_vectors = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
#endif
    int failed = PyModule_AddObjectRef(module, "KINDS", kinds);
    Py_DECREF(kinds);
    return failed;
}

static PyMethodDef methods[] = {
    {"compute", compute, METH_VARARGS,
     "compute(rows, vectors=True)\n--\n\nStatistics of many tensors, one tuple a row.\n\n"
     "rows: list of (address, index into KINDS, count, centre, sampling, shape or None, byte strides or None).\n"
     "The caller keeps the memory alive. Returns (count, zeros, nans, pos_infs, neg_infs, mean, std, min, max,\n"
     "bins as uint16 bytes, counts as uint64 bytes) for each. Without the GIL from about 60 us of work on."},
    {NULL, NULL, 0, NULL}};

static PyModuleDef_Slot slots[] = {{Py_mod_exec, prepare}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kernel", "One pass over the memory of many tensors.", 0, methods, slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void)
{
    return PyModuleDef_Init(&definition);
}
