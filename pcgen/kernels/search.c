/* The cells of points among very many atoms, by a beam search in a tree of blocks of 16: each point
 * visits only a share of the atoms, and computes their scores as fast as a matrix product.
 *
* A block is (dim, LANES) float32, one coordinate of its members after the other, so that a point is
 * scored against 16 of them at once; the members of a block of one level are the blocks of the level below. All
 * points that visit a block are scored together, while it is in the cache.
 */
#include <stdlib.h>
#include <string.h>

#include "exponential.h"

#define LANES 16
#define FEW 4            /* points per pass over a block */
#define ABSENT (-1e30f)  /* the score of a lane without a member */
#define BISECTIONS 24

static inline void score_block(const float *const *points, int count, int dim, const float *block,
                               const float *offset, float (*out)[LANES])
{
    for (int k = 0; k < count; k++)
        memcpy(out[k], offset, sizeof out[k]);
    if (count == FEW) {
        const float *p0 = points[0], *p1 = points[1], *p2 = points[2], *p3 = points[3];
        float *restrict a0 = out[0], *restrict a1 = out[1];
        float *restrict a2 = out[2], *restrict a3 = out[3];
        for (int d = 0; d < dim; d++) {
            const float *restrict line = block + (size_t)d * LANES;
            float c0 = p0[d], c1 = p1[d], c2 = p2[d], c3 = p3[d];
#pragma omp simd
            for (int j = 0; j < LANES; j++) {
                a0[j] += c0 * line[j];
                a1[j] += c1 * line[j];
                a2[j] += c2 * line[j];
                a3[j] += c3 * line[j];
            }
        }
        return;
    }
    for (int k = 0; k < count; k++)
        for (int d = 0; d < dim; d++) {
            const float *restrict line = block + (size_t)d * LANES;
            float *restrict a = out[k], c = points[k][d];
#pragma omp simd
            for (int j = 0; j < LANES; j++)
                a[j] += c * line[j];
        }
}

/* out[row][slot] = the scores of the members of block visits[row][slot], -1 for none.
 * start (count + 1) and order (rows * slots) are scratch. */
static void score_visits(const float *x, int rows, int dim, const float *blocks,
                         const float *offset, int count, const int *visits, int slots, int *start,
                         int *order, float *out)
{
    int total = rows * slots;
    memset(start, 0, sizeof(int) * ((size_t)count + 1));
    for (int i = 0; i < total; i++)
        if (visits[i] >= 0)
            start[visits[i] + 1]++;
        else
            for (int j = 0; j < LANES; j++)
                out[(size_t)i * LANES + j] = ABSENT;
    for (int b = 0; b < count; b++)
        start[b + 1] += start[b];
    for (int i = 0; i < total; i++)
        if (visits[i] >= 0)
            order[start[visits[i]]++] = i;
    for (int b = 0, from = 0; b < count; from = start[b++])
        for (int k = from; k < start[b]; k += FEW) {
            int few = start[b] - k < FEW ? start[b] - k : FEW;
            const float *points[FEW];
            float scores[FEW][LANES];
            for (int f = 0; f < few; f++)
                points[f] = x + (size_t)(order[k + f] / slots) * dim;
            score_block(points, few, dim, blocks + (size_t)b * dim * LANES,
                        offset + (size_t)b * LANES, scores);
            for (int f = 0; f < few; f++)
                memcpy(out + (size_t)order[k + f] * LANES, scores[f], sizeof scores[f]);
        }
}

/* The lanes with the largest of slots * LANES scores, as blocks of the next level: at most keep,
 * at least nine tenths of it unless some are equal; the rest of kept is -1. The threshold is found
 * by bisection, whose counts are vector instructions; a sort would take longer than the scores. */
static void keep_best(const float *restrict s, int slots, const int *visits, int keep, int *kept)
{
    int size = slots * LANES, present = 0, n = 0;
    float high = ABSENT, low = -ABSENT;
#pragma omp simd reduction(max : high) reduction(min : low) reduction(+ : present)
    for (int i = 0; i < size; i++) {
        int is = s[i] > 0.5f * ABSENT;
        high = s[i] > high ? s[i] : high;
        low = is && s[i] < low ? s[i] : low;
        present += is;
    }
    float least = low;
    if (present > keep)
        least = high;
    for (int k = 0; k < BISECTIONS && present > keep; k++) {
        float middle = 0.5f * (low + high);
        int count = 0;
#pragma omp simd reduction(+ : count)
        for (int i = 0; i < size; i++)
            count += s[i] >= middle;
        if (count > keep)
            low = middle;
        else {
            high = least = middle;
            if (10 * count >= 9 * keep)
                break;
        }
    }
    for (int slot = 0; slot < slots; slot++) {
        const float *of = s + (size_t)slot * LANES;
        int any = 0;
        for (int j = 0; j < LANES; j++)
            any |= of[j] >= least;
        for (int j = 0; any && j < LANES && n < keep; j++) {
            kept[n] = visits[slot] * LANES + j;
            n += of[j] >= least;
        }
    }
    for (; n < keep; n++)
        kept[n] = -1;
}

/* The softmax of one row's scores times inverse (huge: the largest alone) is added to mass, its
 * square, weighed by importance, to the sum that is returned. Shares below exp(-window) of the
 * largest count as zero. hit and share have room for all scores. */
static double share_out(const float *restrict s, int slots, const int *visits, float inverse,
                        float window, const float *importance, double *mass, int *best,
                        float *score, int *hit, float *share)
{
    int size = slots * LANES, hits = 0;
    float top = ABSENT, total = 0.0f;
#pragma omp simd reduction(max : top)
    for (int i = 0; i < size; i++)
        top = s[i] > top ? s[i] : top;
    float least = top - window / inverse;
    *score = top;
    *best = -1;
    for (int slot = 0; slot < slots; slot++) {
        const float *of = s + (size_t)slot * LANES;
        int any = 0;
        for (int j = 0; j < LANES; j++)
            any |= of[j] >= least;
        if (!any)
            continue;
        for (int j = 0; j < LANES; j++) {
            if (of[j] < least)
                continue;
            hit[hits] = visits[slot] * LANES + j;
            if (of[j] == top && *best < 0)
                *best = hit[hits];
            total += share[hits++] = exp_negative((of[j] - top) * inverse);
        }
    }
    double sum = 0;
    for (int h = 0; h < hits; h++) {
        float c = share[h] / total;
        mass[hit[h]] += c;
        sum += (double)c * c * importance[hit[h]];
    }
    return sum;
}

/* The k largest of one row's scores, largest first, and their lanes; there must be as many. */
static void take_best(const float *restrict s, int slots, const int *visits, int k, int *best,
                      float *score)
{
    for (int i = 0; i < k; i++) {
        best[i] = -1;
        score[i] = ABSENT;
    }
    for (int slot = 0; slot < slots; slot++) {
        const float *of = s + (size_t)slot * LANES;
        int any = 0;
        for (int j = 0; j < LANES; j++)
            any |= of[j] > score[k - 1];
        for (int j = 0; any && j < LANES; j++) {
            int place = k - 1;
            if (of[j] <= score[place])
                continue;
            for (; place > 0 && of[j] > score[place - 1]; place--) {
                score[place] = score[place - 1];
                best[place] = best[place - 1];
            }
            score[place] = of[j];
            best[place] = visits[slot] * LANES + j;
        }
    }
}

/* blocks (starts[levels], dim, LANES) of all levels, the atoms' first, with offset (.., LANES);
 * those of level l are starts[l] to starts[l + 1]. A row visits all blocks of the last level and
 * the best beams[l] of level l. mass, importance: for each lane of level 0; best, score:
 * for each row, the lane with the largest score found, and that score. For k > 0 the k largest,
 * (rows, k), and nothing is added to mass and square. chunk rows are processed at a time. */
int search_table(const float *x, int rows, int dim, const float *blocks, const float *offset,
                 const int *starts, int levels, const int *beams, int chunk, float inverse,
                 float window, const float *importance, double *mass, double *square, int k,
                 int *best, float *score)
{
    int last = levels - 1, top = starts[levels] - starts[last], widest = top, most = 0;
    for (int l = 0; l < last; l++)
        widest = beams[l] > widest ? beams[l] : widest;
    for (int l = 0; l < levels; l++)
        most = starts[l + 1] - starts[l] > most ? starts[l + 1] - starts[l] : most;
    size_t visits = (size_t)chunk * widest;
    float *scores = malloc(sizeof(float) * (visits + widest) * LANES);
    int *room = malloc(sizeof(int) * (3 * visits + most + 1 + (size_t)widest * LANES));
    if (!scores || !room) {
        free(scores);
        free(room);
        return 1;
    }
    int *now = room, *next = room + visits, *order = room + 2 * visits;
    int *start = room + 3 * visits, *hit = start + most + 1;
    float *share = scores + visits * LANES;
    double sum = 0;
    for (int from = 0; from < rows; from += chunk) {
        int count = rows - from < chunk ? rows - from : chunk, slots = top;
        const float *points = x + (size_t)from * dim;
        for (int r = 0; r < count; r++)
            for (int b = 0; b < top; b++)
                now[r * top + b] = b;
        for (int l = last;; l--) {
            size_t first = starts[l];
            score_visits(points, count, dim, blocks + first * dim * LANES, offset + first * LANES,
                         starts[l + 1] - starts[l], now, slots, start, order, scores);
            if (l == 0)
                break;
            int keep = beams[l - 1];
            for (int r = 0; r < count; r++)
                keep_best(scores + (size_t)r * slots * LANES, slots, now + r * slots, keep,
                          next + r * keep);
            int *swap = now;
            now = next;
            next = swap;
            slots = keep;
        }
        for (int r = 0; k && r < count; r++)
            take_best(scores + (size_t)r * slots * LANES, slots, now + r * slots, k,
                      best + (size_t)(from + r) * k, score + (size_t)(from + r) * k);
        for (int r = 0; !k && r < count; r++)
            sum += share_out(scores + (size_t)r * slots * LANES, slots, now + r * slots, inverse,
                             window, importance, mass, best + from + r, score + from + r, hit,
                             share);
    }
    *square += sum;
    free(scores);
    free(room);
    return 0;
}
