/* What more than one of the C files here needs. */
#include <math.h>
#include <stdint.h>

/* exp(t) for t <= 0 to two units in the last place, 0 below the smallest normal number. */
static inline float exp_negative(float t)
{
    float scaled = t * 1.44269504088896341f;
    scaled = scaled > -126.0f ? scaled : -126.0f;
    float whole = floorf(scaled), f = (scaled - whole) * 0.69314718055994531f;
    float p = 1.0f / 5040.0f;
    p = p * f + 1.0f / 720.0f;
    p = p * f + 1.0f / 120.0f;
    p = p * f + 1.0f / 24.0f;
    p = p * f + 1.0f / 6.0f;
    p = p * f + 0.5f;
    p = p * f + 1.0f;
    p = p * f + 1.0f;
    union { int32_t i; float f; } power = {((int32_t)whole + 127) << 23};
    return t > -87.3f ? p * power.f : 0.0f;
}
