/* Clouds divided at medians: cells of equal mass, and the nearest points, which are searched cell by
 * cell. The points are sorted once along each axis; a split keeps these orders on both of its sides,
 * so no level sorts again. Of points with equal coordinates the first ones are below a split.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define AXES 3
#define LEAF 32 /* points of a cell that is searched at once */
#define DIGITS 2048

/* Bits of a float that are ordered as unsigned integers. */
static inline uint32_t ordered(float value)
{
    uint32_t bits;
    value += 0.0f; /* -0 equals 0 */
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

/* order = 0 .. n - 1 sorted by values[i * stride], stably; three passes over digits of 11 bits. */
static void sort_along(const float *values, int stride, int n, int *order, int *spare,
                       uint32_t *keys)
{
    for (int i = 0; i < n; i++) {
        keys[i] = ordered(values[(size_t)i * stride]);
        order[i] = i;
    }
    for (int shift = 0; shift < 33; shift += 11) {
        int start[DIGITS] = {0}, sum = 0;
        for (int i = 0; i < n; i++)
            start[keys[i] >> shift & (DIGITS - 1)]++;
        for (int d = 0; d < DIGITS; d++) {
            int many = start[d];
            start[d] = sum;
            sum += many;
        }
        for (int i = 0; i < n; i++)
            spare[start[keys[order[i]] >> shift & (DIGITS - 1)]++] = order[i];
        memcpy(order, spare, sizeof(int) * (size_t)n);
    }
}

/* Sorted orders (dim, n) become those of 2^levels cells, one after the other: level l divides each
 * cell along axis l mod dim. bounds (2^levels + 1) are where cells begin: n c / 2^levels. */
static void split(int *orders, int n, int dim, int levels, int *bounds, int *spare, char *above)
{
    int cells = 1 << levels;
    for (int c = 0; c <= cells; c++)
        bounds[c] = (int)((int64_t)n * c / cells);
    for (int level = 0; level < levels; level++) {
        int axis = level % dim, wide = cells >> level;
        const int *along = orders + (size_t)axis * n;
        for (int c = 0; c < cells; c += wide) {
            int from = bounds[c], middle = bounds[c + wide / 2], to = bounds[c + wide];
            for (int i = from; i < to; i++)
                above[along[i]] = i >= middle;
        }
        for (int other = 0; other < dim; other++) {
            int *order = orders + (size_t)other * n;
            if (other == axis)
                continue;
            for (int c = 0; c < cells; c += wide) {
                int from = bounds[c], to = bounds[c + wide], low = from, high = 0;
                for (int i = from; i < to; i++) { /* both writes, to avoid a branch */
                    int point = order[i], up = above[point];
                    spare[high] = point;
                    order[low] = point;
                    high += up;
                    low += !up;
                }
                memcpy(order + low, spare, sizeof(int) * (size_t)high);
            }
        }
    }
}

/* index (batch, m): points of 2^levels cells of the same size, one cell after the other. along
 * (batch, n, dim) are their coordinates; ranks (m) say which points are divided, by their places
 * along the first axis. */
int median_cells(const float *along, int batch, int n, int dim, const int *ranks, int m, int levels,
                 int64_t *index)
{
    int cells = 1 << levels, most = n > m ? n : m, last = (levels + dim - 1) % dim;
    int *room = malloc(sizeof(int) * ((size_t)most * (dim + 3) + cells + 1));
    float *chosen = malloc(sizeof(float) * (size_t)m * dim);
    char *above = malloc((size_t)m);
    if (!room || !chosen || !above) {
        free(room);
        free(chosen);
        free(above);
        return 1;
    }
    int *orders = room, *spare = room + (size_t)most * dim, *kept = spare + most;
    uint32_t *keys = (uint32_t *)(kept + most);
    int *bounds = kept + 2 * (size_t)most;
    for (int b = 0; b < batch; b++) {
        const float *points = along + (size_t)b * n * dim;
        sort_along(points, dim, n, orders, spare, keys);
        for (int i = 0; i < m; i++) {
            kept[i] = orders[ranks[i]];
            memcpy(chosen + (size_t)i * dim, points + (size_t)kept[i] * dim, sizeof(float) * dim);
        }
        for (int d = 0; d < dim; d++)
            sort_along(chosen + d, dim, m, orders + (size_t)d * m, spare, keys);
        split(orders, m, dim, levels, bounds, spare, above);
        for (int i = 0; i < m; i++)
            index[(size_t)b * m + i] = kept[orders[(size_t)last * m + i]];
    }
    free(room);
    free(chosen);
    free(above);
    return 0;
}

/* Insert a point into the sorted list of the k nearest; the lowest index wins a tie. */
static inline void insert(float d, int point, float *distance, int *index, int k)
{
    int place = k - 1;
    for (; place > 0 && (d < distance[place - 1] ||
                         (d == distance[place - 1] && point < index[place - 1])); place--) {
        distance[place] = distance[place - 1];
        index[place] = index[place - 1];
    }
    distance[place] = d;
    index[place] = point;
}

/* The cells of a cloud: cell c has points[bounds[c]] to points[bounds[c + 1]], their coordinates in
 * table (cells, 3, wide), and the box from low to high, each (3, cells). */
struct leaves {
    int cells, wide;
    const int *points;
    int *bounds;
    float *table, *low, *high;
};

/* Set tables and boxes from the points of the cloud. */
static void fill(struct leaves of, const float *cloud)
{
    for (int c = 0; c < of.cells; c++)
        for (int d = 0; d < AXES; d++) {
            float *line = of.table + ((size_t)c * AXES + d) * of.wide;
            float least = INFINITY, most = -INFINITY;
            int from = of.bounds[c], many = of.bounds[c + 1] - from;
            for (int i = 0; i < many; i++) {
                float value = cloud[(size_t)of.points[from + i] * AXES + d];
                line[i] = value;
                least = value < least ? value : least;
                most = value > most ? value : most;
            }
            for (int i = many; i < of.wide; i++)
                line[i] = INFINITY;
            of.low[(size_t)d * of.cells + c] = least;
            of.high[(size_t)d * of.cells + c] = most;
        }
}

/* Insert the points nearest to p into the sorted list best, where. The cell whose box is nearest is
 * searched first, until all other boxes are farther than the k points found. apart (cells) and
 * found (wide) are scratch. */
static void search(struct leaves of, const float *p, float *apart, float *found, float *best,
                   int *where, int k)
{
#pragma omp simd
    for (int c = 0; c < of.cells; c++)
        apart[c] = 0.0f;
    for (int d = 0; d < AXES; d++) {
        const float *restrict from = of.low + (size_t)d * of.cells, at = p[d];
        const float *restrict until = of.high + (size_t)d * of.cells;
#pragma omp simd
        for (int c = 0; c < of.cells; c++) {
            float under = from[c] - at, over = at - until[c];
            float gap = under > over ? under : over;
            gap = gap > 0.0f ? gap : 0.0f;
            apart[c] += gap * gap;
        }
    }
    for (;;) {
        int next = 0;
        float least = INFINITY;
#pragma omp simd reduction(min : least)
        for (int c = 0; c < of.cells; c++)
            least = apart[c] < least ? apart[c] : least;
        if (!(least <= best[k - 1]) || least == INFINITY)
            return;
        while (apart[next] != least)
            next++;
        apart[next] = INFINITY;
        const float *restrict y0 = of.table + (size_t)next * AXES * of.wide;
        const float *restrict y1 = y0 + of.wide, *restrict y2 = y1 + of.wide;
#pragma omp simd
        for (int j = 0; j < of.wide; j++) {
            float a0 = p[0] - y0[j], a1 = p[1] - y1[j], a2 = p[2] - y2[j];
            found[j] = a0 * a0 + a1 * a1 + a2 * a2;
        }
        const int *point = of.points + of.bounds[next];
        int many = of.bounds[next + 1] - of.bounds[next];
        for (int j = 0; j < many; j++)
            if (found[j] < best[k - 1] || (found[j] == best[k - 1] && point[j] < where[k - 1]))
                insert(found[j], point[j], best, where, k);
    }
}

/* The k nearest of y (batch, m, 3) for each point of x (batch, n, 3), nearest first: squared
 * distance (batch, n, k) and index. */
int nearest_cells(const float *x, int n, const float *y, int m, int batch, int k, float *distance,
                  int64_t *index)
{
    int levels = 0;
    while (m >> levels > LEAF)
        levels++;
    int cells = 1 << levels, wide = (m + cells - 1) / cells;
    int *room = malloc(sizeof(int) * ((size_t)m * (AXES + 2) + cells + 1 + k));
    float *table = malloc(sizeof(float) * ((size_t)cells * (wide * AXES + 2 * AXES + 1) + wide));
    char *above = malloc((size_t)m);
    if (!room || !table || !above) {
        free(room);
        free(table);
        free(above);
        return 1;
    }
    int *orders = room, *spare = room + (size_t)m * AXES, *bounds = spare + 2 * (size_t)m;
    int *where = bounds + cells + 1;
    uint32_t *keys = (uint32_t *)(spare + m);
    float *low = table + (size_t)cells * wide * AXES, *high = low + (size_t)cells * AXES;
    float *apart = high + (size_t)cells * AXES, *found = apart + cells;
    const int *points = orders + (size_t)((levels + AXES - 1) % AXES) * m;
    struct leaves leaves = {cells, wide, points, bounds, table, low, high};
    for (int b = 0; b < batch; b++) {
        const float *cloud = y + (size_t)b * m * AXES;
        for (int d = 0; d < AXES; d++)
            sort_along(cloud + d, AXES, m, orders + (size_t)d * m, spare, keys);
        split(orders, m, AXES, levels, bounds, spare, above);
        fill(leaves, cloud);
        for (size_t i = (size_t)b * n; i < (size_t)(b + 1) * n; i++) {
            float *best = distance + i * k;
            for (int r = 0; r < k; r++) {
                best[r] = INFINITY;
                where[r] = m;
            }
            search(leaves, x + i * AXES, apart, found, best, where, k);
            for (int r = 0; r < k; r++) {
                int none = where[r] == m; /* of coordinates that are not numbers */
                best[r] = none ? NAN : best[r];
                index[i * k + r] = none ? 0 : where[r];
            }
        }
    }
    free(room);
    free(table);
    free(above);
    return 0;
}
