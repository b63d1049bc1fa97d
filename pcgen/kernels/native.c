/* Brute force over pairs of points, written so that a compiler turns the inner loops into vector
 * instructions. One core does a Chamfer pair of 2048-point clouds in a third of a millisecond,
 * ten times faster than the best search tree: 4 million distances of three coordinates are little
 * work, and a tree spends its time in branches.
 *
* A set of clouds is (count, 3, n) float32, one coordinate after the other. Distances are squared differences
 * (never |x|^2 + |y|^2 - 2xy), float32; sums of them are double.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "exponential.h"

#define ROWS 4    /* points of x per pass over y */
#define BLOCK 64 /* points of y that are searched again once the nearest is known to be there */

static inline float squared(const float *p, const float *y0, const float *y1, const float *y2,
                            int j)
{
    float a = p[0] - y0[j], b = p[1] - y1[j], c = p[2] - y2[j];
    return a * a + b * b + c * c;
}

/* mean_i min_j d(x_i, y_j) + mean_j min_i d(x_i, y_j); column has room for m floats.
* Stops early, with a partial result, once the sum over rows alone exceeds the limit. */
static double chamfer_pair(const float *x, int n, const float *y, int m, float *column,
                           double limit)
{
    const float *restrict y0 = y, *restrict y1 = y + m, *restrict y2 = y + 2 * m;
    double there = 0, back = 0;
    for (int j = 0; j < m; j++)
        column[j] = INFINITY;
    int i = 0;
    for (; i + ROWS <= n; i += ROWS) {
        float p[ROWS][3];
        for (int r = 0; r < ROWS; r++)
            for (int d = 0; d < 3; d++)
                p[r][d] = x[d * n + i + r];
        float e0 = INFINITY, e1 = INFINITY, e2 = INFINITY, e3 = INFINITY;
#pragma omp simd reduction(min : e0, e1, e2, e3)
        for (int j = 0; j < m; j++) {
            float d0 = squared(p[0], y0, y1, y2, j), d1 = squared(p[1], y0, y1, y2, j);
            float d2 = squared(p[2], y0, y1, y2, j), d3 = squared(p[3], y0, y1, y2, j);
            e0 = d0 < e0 ? d0 : e0;
            e1 = d1 < e1 ? d1 : e1;
            e2 = d2 < e2 ? d2 : e2;
            e3 = d3 < e3 ? d3 : e3;
            d0 = d0 < d1 ? d0 : d1;
            d2 = d2 < d3 ? d2 : d3;
            d0 = d0 < d2 ? d0 : d2;
            column[j] = d0 < column[j] ? d0 : column[j];
        }
        there += (double)e0 + (double)e1 + (double)e2 + (double)e3;
        if (there > limit * n)
            return there / n;
    }
    for (; i < n; i++) {
        float p[3] = {x[i], x[n + i], x[2 * n + i]}, e = INFINITY;
#pragma omp simd reduction(min : e)
        for (int j = 0; j < m; j++) {
            float d = squared(p, y0, y1, y2, j);
            e = d < e ? d : e;
            column[j] = d < column[j] ? d : column[j];
        }
        there += e;
    }
    for (int j = 0; j < m; j++)
        back += column[j];
    return there / n + back / m;
}

/* out[a * many + b] = Chamfer distance of cloud a of x and cloud b of y. */
int chamfer_table(const float *x, int few, int n, const float *y, int many, int m, double *out)
{
    float *column = malloc(sizeof(float) * (size_t)m);
    if (!column)
        return 1;
    for (int a = 0; a < few; a++)
        for (int b = 0; b < many; b++)
            out[(size_t)a * many + b] = chamfer_pair(x + (size_t)a * 3 * n, n,
                                                     y + (size_t)b * 3 * m, m, column, INFINITY);
    free(column);
    return 0;
}

/* Distances from a cloud x to the clouds of y, in the given order: exact for the smallest, if that
 * is not above limit; the others are only known to be above it. */
int chamfer_search(const float *x, int n, const float *y, int m, const int64_t *order, int count,
                   double limit, double *out)
{
    double best = limit;
    float *column = malloc(sizeof(float) * (size_t)m);
    if (!column)
        return 1;
    for (int k = 0; k < count; k++) {
        double value = chamfer_pair(x, n, y + (size_t)order[k] * 3 * m, m, column, best);
        best = value < best ? value : best;
        out[order[k]] = value;
    }
    free(column);
    return 0;
}

/* For each point of x its nearest point of y; the lowest index wins a tie. The smallest distance
 * finds the block that holds the nearest point, and only that block is searched for it. */
int nearest_table(const float *x, int n, const float *y, int m, int batch, float *distance,
                  int64_t *index)
{
    for (int b = 0; b < batch; b++) {
        const float *from = x + (size_t)b * 3 * n, *to = y + (size_t)b * 3 * m;
        const float *restrict y0 = to, *restrict y1 = to + m, *restrict y2 = to + 2 * (size_t)m;
        for (int i = 0; i < n; i += ROWS) {
            float p[ROWS][3], best[ROWS];
            int block[ROWS] = {0};
            for (int r = 0; r < ROWS; r++) {
                best[r] = INFINITY;
                for (int d = 0; d < 3; d++) /* the last rows are repeated to fill the group */
                    p[r][d] = from[(size_t)d * n + (i + r < n ? i + r : n - 1)];
            }
            for (int start = 0; start < m; start += BLOCK) {
                int stop = start + BLOCK < m ? start + BLOCK : m;
                float e0 = INFINITY, e1 = INFINITY, e2 = INFINITY, e3 = INFINITY;
#pragma omp simd reduction(min : e0, e1, e2, e3)
                for (int j = start; j < stop; j++) {
                    float d0 = squared(p[0], y0, y1, y2, j), d1 = squared(p[1], y0, y1, y2, j);
                    float d2 = squared(p[2], y0, y1, y2, j), d3 = squared(p[3], y0, y1, y2, j);
                    e0 = d0 < e0 ? d0 : e0;
                    e1 = d1 < e1 ? d1 : e1;
                    e2 = d2 < e2 ? d2 : e2;
                    e3 = d3 < e3 ? d3 : e3;
                }
                float e[ROWS] = {e0, e1, e2, e3};
                for (int r = 0; r < ROWS; r++)
                    if (e[r] < best[r]) {
                        best[r] = e[r];
                        block[r] = start;
                    }
            }
            for (int r = 0; r < ROWS && i + r < n; r++) {
                int stop = block[r] + BLOCK < m ? block[r] + BLOCK : m, where = block[r];
                float least = squared(p[r], y0, y1, y2, where);
                for (int j = block[r] + 1; j < stop; j++) {
                    float d = squared(p[r], y0, y1, y2, j);
                    if (d < least) {
                        least = d;
                        where = j;
                    }
                }
                distance[(size_t)b * n + i + r] = least;
                index[(size_t)b * n + i + r] = where;
            }
        }
    }
    return 0;
}

struct work { float *left, *right, *ratio_left, *ratio_right, *sum, *row; };

/* The annealed soft assignment of two clouds of n points; see pcgen.distances.annealed_emd for the
* recursion. Each row is visited once per level: it completes the previous level (whose ratios are
 * then known) and contributes to the new one. */
static double annealed_pair(const float *x, const float *y, int n, const float *levels, int count,
                            int squared_cost, struct work w)
{
    const float *restrict y0 = y, *restrict y1 = y + n, *restrict y2 = y + 2 * n;
    float *restrict left = w.left, *restrict right = w.right, *restrict row = w.row;
    float *restrict ratio_left = w.ratio_left, *restrict ratio_right = w.ratio_right;
    float *restrict sum = w.sum;
    double cost = 0;
    for (int i = 0; i < n; i++)
        left[i] = right[i] = 1.0f;
    for (int step = 0; step <= count; step++) {
        for (int j = 0; j < n; j++)
            sum[j] = 0.0f;
        for (int i = 0; i < n; i++) {
            float p[3] = {x[i], x[n + i], x[2 * n + i]};
            if (step > 0) {
                float level = levels[step - 1], ratio = ratio_left[i], moved = 0, paid = 0;
#pragma omp simd reduction(+ : moved, paid)
                for (int j = 0; j < n; j++) {
                    float d = squared(p, y0, y1, y2, j);
                    float mass = exp_negative(level * d) * ratio * ratio_right[j];
                    moved += mass;
                    paid += mass * (squared_cost ? d : sqrtf(d));
                }
                left[i] = left[i] > moved ? left[i] - moved : 0.0f;
                cost += paid;
            }
            if (step < count) {
                float level = levels[step], reach = 0;
#pragma omp simd reduction(+ : reach)
                for (int j = 0; j < n; j++) {
                    row[j] = exp_negative(level * squared(p, y0, y1, y2, j));
                    reach += row[j] * right[j];
                }
                float ratio = left[i] / (reach + 1e-9f);
                ratio_left[i] = ratio;
#pragma omp simd
                for (int j = 0; j < n; j++)
                    sum[j] += ratio * row[j];
            }
        }
        for (int j = 0; j < n; j++) {
            float wanted = sum[j] * right[j];
            float share = right[j] / (wanted + 1e-9f);
            ratio_right[j] = right[j] * (share < 1.0f ? share : 1.0f);
            right[j] = right[j] > wanted ? right[j] - wanted : 0.0f;
        }
    }
    return cost / n;
}

/* out[a * many + b] = annealed cost of cloud a of x (mass left) and cloud b of y (mass right). */
int annealed_table(const float *x, int few, const float *y, int many, int n, const float *levels,
                   int count, int squared_cost, double *out)
{
    float *room = malloc(sizeof(float) * 6 * (size_t)n);
    if (!room)
        return 1;
    struct work w = {room, room + n, room + 2 * n, room + 3 * n, room + 4 * n, room + 5 * n};
    for (int a = 0; a < few; a++)
        for (int b = 0; b < many; b++)
            out[(size_t)a * many + b] =
                annealed_pair(x + (size_t)a * 3 * n, y + (size_t)b * 3 * n, n, levels, count,
                              squared_cost, w);
    free(room);
    return 0;
}

/* The mean over m rows of log sum_k exp(features . coefficients) for each of a batch, and its
 * gradient in the coefficients: features (batch, m, few), coefficients (batch, few, many). Four
 * rows share each pass over the coefficients. Terms below exp(lowest) of a row's largest are left
 * out, whole blocks at once: most components are far from a point, and neighbours in space follow
 * each other in the table. */
int log_sum_exp_table(const float *features, const float *coefficients, int batch, int m, int few,
                      int many, float lowest, float *value, float *gradient)
{
    int blocks = (many + BLOCK - 1) / BLOCK, wide = blocks * BLOCK; /* whole blocks, for speed */
    float *room = malloc(sizeof(float) * ((size_t)(ROWS + few) * wide + blocks));
    if (!room)
        return 1;
    float *slope = room + (size_t)ROWS * wide, *peak = slope + (size_t)few * wide;
    float *restrict s0 = room, *restrict s1 = s0 + wide;
    float *restrict s2 = s1 + wide, *restrict s3 = s2 + wide;
    for (int k = 0; k < ROWS * wide; k++)
        room[k] = -INFINITY;
    for (int b = 0; b < batch; b++) {
        const float *rows = features + (size_t)b * m * few;
        const float *table = coefficients + (size_t)b * few * many;
        double sum = 0;
        for (int k = 0; k < few * wide; k++)
            slope[k] = 0.0f;
        for (int i = 0; i < m; i += ROWS) {
            const float *row[ROWS];
            for (int r = 0; r < ROWS; r++) /* the last rows are repeated to fill the group */
                row[r] = rows + (size_t)(i + r < m ? i + r : m - 1) * few;
            for (int f = 0; f < few; f++) {
                const float *restrict line = table + (size_t)f * many;
                float a0 = row[0][f], a1 = row[1][f], a2 = row[2][f], a3 = row[3][f];
                if (f == 0) {
#pragma omp simd
                    for (int k = 0; k < many; k++) {
                        s0[k] = a0 * line[k];
                        s1[k] = a1 * line[k];
                        s2[k] = a2 * line[k];
                        s3[k] = a3 * line[k];
                    }
                } else {
#pragma omp simd
                    for (int k = 0; k < many; k++) {
                        s0[k] += a0 * line[k];
                        s1[k] += a1 * line[k];
                        s2[k] += a2 * line[k];
                        s3[k] += a3 * line[k];
                    }
                }
            }
            for (int r = 0; r < ROWS && i + r < m; r++) {
                float *restrict scores = room + (size_t)r * wide;
                float most = -INFINITY, added = 0.0f;
                for (int c = 0; c < blocks; c++) {
                    const float *restrict s = scores + c * BLOCK;
                    float here = -INFINITY;
#pragma omp simd reduction(max : here)
                    for (int j = 0; j < BLOCK; j++)
                        here = s[j] > here ? s[j] : here;
                    peak[c] = here;
                    most = here > most ? here : most;
                }
                for (int c = 0; c < blocks; c++) {
                    float *restrict s = scores + c * BLOCK;
                    if (peak[c] <= most + lowest)
                        continue;
#pragma omp simd reduction(+ : added)
                    for (int j = 0; j < BLOCK; j++) {
                        float t = s[j] - most;
                        s[j] = t > lowest ? exp_negative(t) : 0.0f;
                        added += s[j];
                    }
                }
                sum += (double)most + log((double)added);
                for (int f = 0; f < few; f++) {
                    float a = row[r][f] / (added * (float)m);
                    for (int c = 0; c < blocks; c++) {
                        const float *restrict s = scores + c * BLOCK;
                        float *restrict line = slope + (size_t)f * wide + c * BLOCK;
                        if (peak[c] <= most + lowest)
                            continue;
#pragma omp simd
                        for (int j = 0; j < BLOCK; j++)
                            line[j] += a * s[j];
                    }
                }
                for (int k = many; k < wide; k++)
                    scores[k] = -INFINITY;
            }
        }
        for (int f = 0; f < few; f++)
            for (int k = 0; k < many; k++)
                gradient[((size_t)b * few + f) * many + k] = slope[(size_t)f * wide + k];
        value[b] = (float)(sum / m);
    }
    free(room);
    return 0;
}

#define TILE 256  /* atoms whose scores stay in the first-level cache */
#define STRIPE 16 /* of them, searched together for shares worth adding */

/* out[g][j] = start_j + sum_r moves[g][r] slopes[r][j] for the atoms of one tile. */
static void shift_scores(const float *start, const float *moves, const float *slopes, size_t many,
                         int groups, int r, int size, float (*out)[TILE])
{
    for (int g = 0; g < groups; g++) {
        float *restrict to = out[g];
        if (start)
            for (int j = 0; j < size; j++)
                to[j] = start[j];
        else
            for (int j = 0; j < size; j++)
                to[j] = 0.0f;
        for (int d = 0; d < r; d++) {
            const float *restrict slope = slopes + d * many;
            float by = moves[g * r + d];
#pragma omp simd
            for (int j = 0; j < size; j++)
                to[j] += by * slope[j];
        }
    }
}

/* Cells of rows whose leading coordinates are drawn GROUP * GROUP times. scores (rows, many) are
 * those of the other coordinates. Redraw (a, b) of a row adds
 * sum_r moves[row][0][a][r] slopes[0][r] + moves[row][1][b][r] slopes[1][r]. The softmax of the
 * sums times inverse (huge: the largest alone) is averaged over the redraws of a row and added to
 * mass (many); returned through square is the sum over rows of importance . average^2.
 * Shares below exp(-window) of the largest count as zero. */
#define GROUP 4
int redrawn_table(const float *scores, const float *slopes, const float *moves,
                  const float *importance, int rows, int many, int r, float inverse, float window,
                  double *mass, double *square)
{
    int tiles = (many + TILE - 1) / TILE;
    float *room = malloc(sizeof(float) * ((size_t)many * 3 + (size_t)tiles * GROUP * GROUP));
    int *found = malloc(sizeof(int) * (size_t)many * 2);
    if (!room || !found) {
        free(room);
        free(found);
        return 1;
    }
    float *average = room, *share = room + many, *best = room + 2 * (size_t)many;
    int *touched = found, *hit = found + many;
    float one[GROUP][TILE], two[GROUP][TILE];
    const float *other = slopes + (size_t)r * many;
    double sum = 0;
    for (int i = 0; i < many; i++)
        average[i] = 0.0f;
    for (int row = 0; row < rows; row++) {
        const float *score = scores + (size_t)row * many;
        const float *move = moves + (size_t)row * 2 * GROUP * r, *move2 = move + GROUP * r;
        float top[GROUP * GROUP];
        for (int k = 0; k < GROUP * GROUP; k++)
            top[k] = -INFINITY;
        for (int t = 0; t < tiles; t++) {
            int from = t * TILE, size = many - from < TILE ? many - from : TILE;
            shift_scores(score + from, move, slopes + from, many, GROUP, r, size, one);
            shift_scores(NULL, move2, other + from, many, GROUP, r, size, two);
            for (int b = 0; b < GROUP; b++) {
                const float *restrict w = two[b];
                float e0 = -INFINITY, e1 = -INFINITY, e2 = -INFINITY, e3 = -INFINITY;
#pragma omp simd reduction(max : e0, e1, e2, e3)
                for (int j = 0; j < size; j++) {
                    float s0 = one[0][j] + w[j], s1 = one[1][j] + w[j];
                    float s2 = one[2][j] + w[j], s3 = one[3][j] + w[j];
                    e0 = s0 > e0 ? s0 : e0;
                    e1 = s1 > e1 ? s1 : e1;
                    e2 = s2 > e2 ? s2 : e2;
                    e3 = s3 > e3 ? s3 : e3;
                }
                float e[GROUP] = {e0, e1, e2, e3};
                for (int a = 0; a < GROUP; a++) {
                    best[(size_t)t * GROUP * GROUP + b * GROUP + a] = e[a];
                    top[b * GROUP + a] = e[a] > top[b * GROUP + a] ? e[a] : top[b * GROUP + a];
                }
            }
        }
        int reached = 0;
        for (int k = 0; k < GROUP * GROUP; k++) {
            float least = top[k] - window / inverse, total = 0.0f;
            int hits = 0, a = k % GROUP, b = k / GROUP;
            for (int t = 0; t < tiles; t++) {
                if (best[(size_t)t * GROUP * GROUP + k] < least)
                    continue;
                int from = t * TILE, size = many - from < TILE ? many - from : TILE;
                shift_scores(score + from, move + a * r, slopes + from, many, 1, r, size, one);
                shift_scores(NULL, move2 + b * r, other + from, many, 1, r, size, two);
                for (int left = 0; left < size; left += STRIPE) {
                    int right = left + STRIPE < size ? left + STRIPE : size;
                    int any = 0;
                    for (int j = left; j < right; j++)
                        any |= one[0][j] + two[0][j] >= least;
                    if (!any)
                        continue;
                    for (int j = left; j < right; j++) {
                        float value = one[0][j] + two[0][j];
                        if (value < least)
                            continue;
                        hit[hits] = from + j;
                        share[hits] = exp_negative((value - top[k]) * inverse);
                        total += share[hits++];
                    }
                }
            }
            for (int h = 0; h < hits; h++) {
                int i = hit[h];
                if (average[i] == 0.0f)
                    touched[reached++] = i;
                average[i] += share[h] / (total * GROUP * GROUP);
            }
        }
        for (int h = 0; h < reached; h++) {
            int i = touched[h];
            mass[i] += average[i];
            sum += (double)average[i] * average[i] * importance[i];
            average[i] = 0.0f;
        }
    }
    *square += sum;
    free(room);
    free(found);
    return 0;
}

#define PADDED(n) (((n) + 15) / 16 * 16) /* the length of rows of weights, for any vectors */
#define TOGETHER 8                       /* points whose features stay in registers */
#if defined __AVX512F__
#define LANES 16
#elif defined __AVX__
#define LANES 8
#else
#define LANES 4
#endif
/* A vector by name, of the processor's length: compilers keep other arrays of sums in memory. */
typedef float lane __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* hidden (k, wide) = silu(x first + bias) of the points x (k, dim); the bias is the last row of
 * first (dim + 1, wide). Also the slope of silu there, unless it is NULL. */
static inline void hidden_layer(const float *x, const float *first, int k, int dim, int wide,
                                float *restrict hidden, float *restrict slope)
{
    for (int j = 0; j < wide; j += LANES)
        for (int i = 0; i < k; i++) {
            lane sum = *(const lane *)(first + (size_t)dim * wide + j);
            for (int d = 0; d < dim; d++)
                sum += x[(size_t)i * dim + d] * *(const lane *)(first + (size_t)d * wide + j);
            *(lane *)(hidden + (size_t)i * wide + j) = sum;
        }
#pragma omp simd
    for (int j = 0; j < k * wide; j++) {
        float t = hidden[j], e = exp_negative(-fabsf(t));
        float share = (t < 0.0f ? e : 1.0f) / (1.0f + e);
        hidden[j] = t * share;
        if (slope)
            slope[j] = share * (1.0f + t * (1.0f - share));
    }
}

/* value (patches, features) = the maximum over k points of silu(x first + bias) second + bias, and
 * winner = the first point that has it; points (patches, k, dim), and second is padded to
 * (hidden + 1, across). As in torch, the maximum of numbers with a NaN is NaN. */
int pool_table(const float *points, const float *first, const float *second, int patches, int k,
               int dim, int hidden, int features, float *value, int32_t *winner)
{
    int wide = PADDED(hidden), across = PADDED(features);
    float *room = calloc((size_t)(k + TOGETHER) * wide, sizeof(float)); /* the last group is full */
    if (!room)
        return 1;
    for (int p = 0; p < patches; p++) {
        hidden_layer(points + (size_t)p * k * dim, first, k, dim, wide, room, NULL);
        for (int from = 0; from < features; from += LANES) {
            float best[LANES];
            int32_t where[LANES] = {0};
            for (int l = 0; l < LANES; l++)
                best[l] = -INFINITY;
            for (int i = 0; i < k; i += TOGETHER) {
                const float *h = room + (size_t)i * wide, *line = second + from;
                lane sum[TOGETHER];
                for (int r = 0; r < TOGETHER; r++)
                    sum[r] = *(const lane *)(line + (size_t)hidden * across);
                for (int j = 0; j < hidden; j++, line += across)
                    for (int r = 0; r < TOGETHER; r++)
                        sum[r] += h[(size_t)r * wide + j] * *(const lane *)line;
                for (int r = 0; r < TOGETHER && i + r < k; r++)
#pragma omp simd
                    for (int l = 0; l < LANES; l++) { /* no branches: few would be predicted */
                        float other = sum[r][l];
                        int wins = (other > best[l]) | (other != other);
                        best[l] = wins ? other : best[l];
                        where[l] = wins ? i + r : where[l];
                    }
            }
            for (int f = from; f < from + LANES && f < features; f++) {
                value[(size_t)p * features + f] = best[f - from];
                winner[(size_t)p * features + f] = where[f - from];
            }
        }
    }
    free(room);
    return 0;
}

/* Adds to to_first (dim + 1, wide) and to_second (features, wide) the gradient of the sum of
 * upstream (patches, features) times the values of pool_table. second is (features, wide) here. */
int pool_gradient(const float *points, const float *first, const float *second,
                  const int32_t *winner, const float *upstream, int patches, int k, int dim,
                  int hidden, int features, float *restrict to_first, float *restrict to_second)
{
    int wide = PADDED(hidden);
    size_t size = (size_t)k * wide;
    float *room = malloc(sizeof(float) * 3 * size);
    if (!room)
        return 1;
    float *restrict values = room, *restrict slope = room + size, *restrict pull = room + 2 * size;
    for (int p = 0; p < patches; p++) {
        const float *x = points + (size_t)p * k * dim;
        hidden_layer(x, first, k, dim, wide, values, slope);
        memset(pull, 0, sizeof(float) * size);
        for (int f = 0; f < features; f++) {
            float by = upstream[(size_t)p * features + f];
            size_t at = (size_t)winner[(size_t)p * features + f] * wide, row = (size_t)f * wide;
#pragma omp simd
            for (int j = 0; j < wide; j++) {
                to_second[row + j] += by * values[at + j];
                pull[at + j] += by * second[row + j];
            }
        }
        for (size_t j = 0; j < size; j++)
            pull[j] *= slope[j];
        for (int j = 0; j < wide; j += LANES)
            for (int d = 0; d <= dim; d++) {
                lane sum = *(const lane *)(to_first + (size_t)d * wide + j);
                for (int i = 0; i < k; i++)
                    sum += (d < dim ? x[(size_t)i * dim + d] : 1.0f) *
                           *(const lane *)(pull + (size_t)i * wide + j);
                *(lane *)(to_first + (size_t)d * wide + j) = sum;
            }
    }
    free(room);
    return 0;
}

/* The precision p of a Gaussian with the covariance a a^T + square I, its entries 00, 01, 02, 11, 12,
 * 22; returns the determinant of the covariance. */
static double precision_of(const float *a, double square, double *p)
{
    double s[6];
    for (int i = 0, e = 0; i < 3; i++)
        for (int j = i; j < 3; j++, e++)
            s[e] = (double)a[3 * i] * a[3 * j] + (double)a[3 * i + 1] * a[3 * j + 1] +
                   (double)a[3 * i + 2] * a[3 * j + 2] + (i == j ? square : 0);
    p[0] = s[3] * s[5] - s[4] * s[4];
    p[1] = s[2] * s[4] - s[1] * s[5];
    p[2] = s[1] * s[4] - s[2] * s[3];
    p[3] = s[0] * s[5] - s[2] * s[2];
    p[4] = s[1] * s[2] - s[0] * s[4];
    p[5] = s[0] * s[3] - s[1] * s[1];
    double det = s[0] * p[0] + s[1] * p[1] + s[2] * p[2];
    for (int e = 0; e < 6; e++)
        p[e] /= det;
    return det;
}

static const int ENTRY[3][3] = {{0, 1, 2}, {1, 3, 4}, {2, 4, 5}};

/* Coefficients (batch, 10, parts) of Gaussians with centres (batch, parts, 3) and factors
 * (batch, parts, 3, 3): of the products of two coordinates, of coordinates, and of 1. */
int mixture_coefficients(const float *centre, const float *factor, const float *log_weight,
                         float *out, int batch, int parts, double square)
{
    const double whole = 1.5 * log(2 * M_PI);
    for (int b = 0; b < batch; b++)
        for (int k = 0; k < parts; k++) {
            size_t at = (size_t)b * parts + k;
            const float *c = centre + 3 * at;
            float *to = out + (size_t)b * 10 * parts + k;
            double p[6], pulled = 0;
            double det = precision_of(factor + 9 * at, square, p);
            for (int e = 0; e < 6; e++)
                to[(size_t)e * parts] = (float)((e == 0 || e == 3 || e == 5 ? -0.5 : -1.0) * p[e]);
            for (int i = 0; i < 3; i++) {
                double pull = p[ENTRY[i][0]] * c[0] + p[ENTRY[i][1]] * c[1] + p[ENTRY[i][2]] * c[2];
                to[(size_t)(6 + i) * parts] = (float)pull;
                pulled += pull * c[i];
            }
            to[(size_t)9 * parts] = (float)(log_weight[at] - 0.5 * (log(det) + pulled) - whole);
        }
    return 0;
}

/* The gradient in centres and factors of the sum of upstream (batch, 10, parts) times the values of
 * mixture_coefficients. */
int mixture_gradient(const float *centre, const float *factor, const float *upstream,
                     float *to_centre, float *to_factor, int batch, int parts, double square)
{
    for (int b = 0; b < batch; b++)
        for (int k = 0; k < parts; k++) {
            size_t at = (size_t)b * parts + k;
            const float *c = centre + 3 * at, *a = factor + 9 * at;
            const float *up = upstream + (size_t)b * 10 * parts + k;
            double p[6], g[10], to_p[3][3], half[3][3];
            precision_of(a, square, p);
            for (int e = 0; e < 10; e++)
                g[e] = up[(size_t)e * parts];
            for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++)
                    to_p[i][j] = 0.5 * (g[6 + i] * c[j] + g[6 + j] * c[i] - g[ENTRY[i][j]] -
                                        g[9] * c[i] * c[j]);
            for (int i = 0; i < 3; i++)
                for (int j = 0; j < 3; j++)
                    half[i][j] = p[ENTRY[i][0]] * to_p[0][j] + p[ENTRY[i][1]] * to_p[1][j] +
                                 p[ENTRY[i][2]] * to_p[2][j];
            for (int i = 0; i < 3; i++) {
                double row[3], sum = 0; /* of the gradient in the covariance */
                for (int j = 0; j < 3; j++)
                    row[j] = -half[i][0] * p[ENTRY[0][j]] - half[i][1] * p[ENTRY[1][j]] -
                             half[i][2] * p[ENTRY[2][j]] - 0.5 * g[9] * p[ENTRY[i][j]];
                for (int j = 0; j < 3; j++) {
                    to_factor[9 * at + 3 * i + j] =
                        (float)(2 * (row[0] * a[j] + row[1] * a[3 + j] + row[2] * a[6 + j]));
                    sum += p[ENTRY[i][j]] * (g[6 + j] - g[9] * c[j]);
                }
                to_centre[3 * at + i] = (float)sum;
            }
        }
    return 0;
}
