// Small vector, hash and colour arithmetic of the camera. Nothing here calls libm beyond sqrt, whose result IEEE 754
// fixes: libm's other functions differ between machines by an ulp, and frames must not.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace semore::driving {

struct Vec3 {
    float x = 0, y = 0, z = 0;
};

inline Vec3 operator+(Vec3 a, Vec3 b) { return {a.x + b.x, a.y + b.y, a.z + b.z}; }
inline Vec3 operator-(Vec3 a, Vec3 b) { return {a.x - b.x, a.y - b.y, a.z - b.z}; }
inline Vec3 operator*(Vec3 a, float s) { return {a.x * s, a.y * s, a.z * s}; }
inline float dot(Vec3 a, Vec3 b) { return a.x * b.x + a.y * b.y + a.z * b.z; }
inline Vec3 cross(Vec3 a, Vec3 b) { return {a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x}; }

inline Vec3 normalized(Vec3 a) {
    const float length = std::sqrt(dot(a, a));
    return length > 1e-12f ? a * (1.0f / length) : Vec3{0, 0, 1};
}

template <class T>
inline T clamp(T v, T low, T high) {
    return v < low ? low : v > high ? high : v;
}

// c ? a : b in straight-line code. Compilers turn chains of ?: into jumps, which keep a loop from vectorising.
inline std::int32_t select(bool c, std::int32_t a, std::int32_t b) {
    return b ^ ((a ^ b) & -static_cast<std::int32_t>(c));
}

inline float select(bool c, float a, float b) {
    std::int32_t ia, ib;
    std::memcpy(&ia, &a, sizeof ia);
    std::memcpy(&ib, &b, sizeof ib);
    const std::int32_t bits = select(c, ia, ib);
    float out;
    std::memcpy(&out, &bits, sizeof out);
    return out;
}

inline float max_of(float a, float b) { return select(a < b, b, a); }
inline float min_of(float a, float b) { return select(b < a, b, a); }
inline float unit_clamp(float v) { return min_of(max_of(v, 0.0f), 1.0f); }

inline float mix(float a, float b, float t) { return a + (b - a) * t; }

inline float floor_of(float v) {
    const float whole = static_cast<float>(static_cast<std::int32_t>(v));
    return whole - static_cast<float>(static_cast<std::int32_t>(v < whole));
}

inline float abs_of(float v) { return std::fabs(v); }

struct SinCos {
    float sin, cos;
};

// Within 2e-6 of the exact value for any angle a drive produces.
inline SinCos sin_cos(float angle_rad) {
    const float turns = angle_rad * 0.159154943f;
    const float quarter = floor_of(turns * 4.0f + 0.5f);
    const float r = (turns * 4.0f - quarter) * 1.57079633f;
    const float r2 = r * r;
    const float s = r * (1.0f - r2 * (1.0f / 6 - r2 * (1.0f / 120 - r2 * (1.0f / 5040))));
    const float c = 1.0f - r2 * (0.5f - r2 * (1.0f / 24 - r2 * (1.0f / 720 - r2 * (1.0f / 40320))));
    switch (static_cast<std::int32_t>(quarter) & 3) {
        case 0: return {s, c};
        case 1: return {c, -s};
        case 2: return {-s, -c};
        default: return {-c, s};
    }
}

inline std::uint32_t hash_u32(std::uint32_t a, std::uint32_t b, std::uint32_t c = 0) {
    std::uint32_t h = a * 0x9E3779B1u ^ (b + 0x7F4A7C15u) * 0x85EBCA77u ^ (c + 0x165667B1u) * 0xC2B2AE3Du;
    h ^= h >> 15;
    h *= 0x2C1B3C6Du;
    h ^= h >> 12;
    h *= 0x297A2D39u;
    return h ^ (h >> 15);
}

// A stream of numbers for one piece of scenery: equal arguments, equal stream.
class HashStream {
public:
    HashStream(std::uint64_t seed, std::int32_t block, std::uint32_t salt)
        : state_(hash_u32(static_cast<std::uint32_t>(seed ^ (seed >> 32)), static_cast<std::uint32_t>(block), salt)) {}
    std::uint32_t bits() { return state_ = hash_u32(state_, 0x51ED27u); }
    float uniform(float low, float high) { return low + (high - low) * static_cast<float>(bits() >> 8) * 0x1p-24f; }
    int below(int n) { return static_cast<int>((bits() >> 8) % static_cast<std::uint32_t>(n)); }

private:
    std::uint32_t state_;
};

struct Rgb {
    float r = 0, g = 0, b = 0;
};

inline Rgb operator+(Rgb a, Rgb b) { return {a.r + b.r, a.g + b.g, a.b + b.b}; }
inline Rgb operator*(Rgb a, Rgb b) { return {a.r * b.r, a.g * b.g, a.b * b.b}; }
inline Rgb operator*(Rgb a, float s) { return {a.r * s, a.g * s, a.b * s}; }
inline float brightness(Rgb c) { return c.r + c.g + c.b; }
inline Rgb mix(Rgb a, Rgb b, float t) { return {mix(a.r, b.r, t), mix(a.g, b.g, t), mix(a.b, b.b, t)}; }

// Display value of linear light: a soft shoulder, so that lamps and sky do not clip, with 1 -> 1.
constexpr float tone_knee = 0.35f;
inline float tone(float light) { return (1.0f + tone_knee) * light / (light + tone_knee); }
inline float inverse_tone(float display) { return tone_knee * display / (1.0f + tone_knee - display); }

// Reflectance that shows as the given 8-bit colour under full light.
inline Rgb paint(int r, int g, int b) {
    return {inverse_tone(static_cast<float>(r) * (1.0f / 255)), inverse_tone(static_cast<float>(g) * (1.0f / 255)),
            inverse_tone(static_cast<float>(b) * (1.0f / 255))};
}

}  // namespace semore::driving
