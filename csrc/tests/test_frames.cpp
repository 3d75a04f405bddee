// Every kernel set against one formula written pixel by pixel, in memory of exactly the size asked for. Run under ASan,
// UBSan and TSan.
#include "frames.hpp"

#include "check.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace semore;

namespace {

constexpr float offset = 0.3f;

// Heap memory without slack, so that the sanitizer sees a single byte too far; filled with what no result can be. It
// begins where a cache line does, as tensors do; rows then begin at every place of one, or at none, by their width.
template <class T>
struct Exact {
    static constexpr std::align_val_t line{64};
    struct Free {
        void operator()(T* block) const { operator delete(block, line); }
    };

    explicit Exact(std::int64_t count)
        : count(count), data(static_cast<T*>(operator new(static_cast<std::size_t>(count) * sizeof(T), line))) {
        std::memset(data.get(), 0xff, count * sizeof(T));
    }
    std::int64_t count;
    std::unique_ptr<T[], Free> data;
};

std::uint16_t rounded(float value, std::uint16_t) {
    // The neighbour that is nearer, in double; of two as near the even one.
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::uint32_t below_bits = bits & 0xffff0000u, above_bits = below_bits + 0x10000u;
    float below, above;
    std::memcpy(&below, &below_bits, sizeof below);
    std::memcpy(&above, &above_bits, sizeof above);
    const double down = std::fabs(double(value) - below), up = std::fabs(double(above) - value);
    const bool take_above = up < down || (up == down && (below_bits >> 16 & 1));
    return static_cast<std::uint16_t>((take_above ? above_bits : below_bits) >> 16);
}

float rounded(float value, float) { return value; }

float times(float a, float b) {
    const volatile float product = a * b;
    return product;
}

struct Case {
    std::int64_t batch, stack, height, width, held;
    bool shifted, masked, absolute, centred;
    int threads;
};

template <class T>
struct Fixture {
    explicit Fixture(const Case& c, std::mt19937& random)
        : c(c), frames(c.held * 3 * c.height * c.width), masks(c.held * c.height * c.width),
          centre(3 * c.height * c.width), slots(c.batch * c.stack), shift(2 * c.batch),
          stack(3 * c.stack * c.batch * c.height * c.width),
          residual(stack.count / c.stack * (c.stack - 1)), masked(stack.count) {
        for (std::int64_t i = 0; i < centre.count; ++i) centre.data[i] = static_cast<std::uint8_t>(random());
        for (std::int64_t i = 0; i < frames.count; ++i) frames.data[i] = static_cast<std::uint8_t>(random());
        for (std::int64_t i = 0; i < masks.count; ++i) masks.data[i] = static_cast<std::uint8_t>(random());
        for (std::int64_t i = 0; i < slots.count; ++i) slots.data[i] = static_cast<std::int64_t>(random() % c.held);
        slots.data[0] = c.held - 1;
        const std::int64_t reach = c.width + 3;
        for (std::int64_t i = 0; i < shift.count; ++i)
            shift.data[i] = static_cast<std::int64_t>(random() % (2 * reach + 1)) - reach;
        if (c.shifted) shift.data[0] = INT64_MAX, shift.data[1] = INT64_MIN;  // far outside is only border
    }

    void run(const RowKernels<T>& rows) {
        encoder_inputs(in(), out(), offset, c.absolute, c.threads, rows);
    }

    FrameBatch in() const {
        return {c.batch, c.stack, c.height, c.width, c.held, frames.data.get(), c.masked ? masks.data.get() : nullptr,
                slots.data.get(), c.shifted ? shift.data.get() : nullptr, c.centred ? centre.data.get() : nullptr};
    }

    EncoderInputs<T> out() const {
        return {stack.data.get(), residual.count ? residual.data.get() : nullptr,
                c.masked ? masked.data.get() : nullptr};
    }

    std::int64_t source_pixel(std::int64_t sample, std::int64_t y, std::int64_t x) const {
        const std::int64_t far = c.height + c.width;
        const std::int64_t dy = c.shifted ? std::clamp(shift.data[2 * sample], -far, far) : 0;
        const std::int64_t dx = c.shifted ? std::clamp(shift.data[2 * sample + 1], -far, far) : 0;
        const std::int64_t row = std::clamp<std::int64_t>(y + dy, 0, c.height - 1);
        return row * c.width + std::clamp<std::int64_t>(x + dx, 0, c.width - 1);
    }

    int level(std::int64_t sample, std::int64_t frame, std::int64_t colour, std::int64_t pixel) const {
        return frames.data[(slots.data[sample * c.stack + frame] * 3 + colour) * c.height * c.width + pixel];
    }

    void check() const {
        for (std::int64_t sample = 0; sample < c.batch; ++sample)
            for (std::int64_t y = 0; y < c.height; ++y)
                for (std::int64_t x = 0; x < c.width; ++x) check_pixel(sample, y, x);
    }

    void check_pixel(std::int64_t sample, std::int64_t y, std::int64_t x) const {
        const std::int64_t to = (sample * c.height + y) * c.width + x, from = source_pixel(sample, y, x);
        const std::int64_t newest = slots.data[(sample + 1) * c.stack - 1];
        const float unit = 1.0 / 255, m = times(masks.data[newest * c.height * c.width + from], unit);
        for (std::int64_t frame = 0; frame < c.stack; ++frame)
            for (std::int64_t colour = 0; colour < 3; ++colour) {
                const std::int64_t at = (to * c.stack + frame) * 3 + colour;
                const int middle = c.centred ? centre.data[colour * c.height * c.width + from] : 0;
                const float value = times(level(sample, frame, colour, from) - middle, unit);
                const float less = c.centred ? 0 : offset;
                CHECK(stack.data[at] == rounded(value - less, T()));
                if (c.masked) CHECK(masked.data[at] == rounded(times(value, m) - less, T()));
                if (frame == 0) continue;
                const int change = level(sample, frame, colour, from) - level(sample, frame - 1, colour, from);
                const float wanted = times(c.absolute ? std::abs(change) : change, unit);
                const std::int64_t newest_first = c.stack - 1 - frame;
                CHECK(residual.data[(to * (c.stack - 1) + newest_first) * 3 + colour] == rounded(wanted, T()));
            }
    }

    Case c;
    Exact<std::uint8_t> frames, masks, centre;
    Exact<std::int64_t> slots, shift;
    Exact<T> stack, residual, masked;
};

template <class T>
void check_case(const Case& c, std::mt19937& random, const RowKernels<T>& rows) {
    Fixture<T> fixture(c, random);
    fixture.run(rows);
    fixture.check();
}

template <class T>
void check_kernels(const RowKernels<T>& rows) {
    std::mt19937 random(7);
    for (const std::int64_t width : {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 100, 128})
        for (const std::int64_t stack : {1, 2, 3, 4})
            for (int flags = 0; flags < 16; ++flags) {
                const bool shifted = flags & 1, masked = flags & 2, absolute = flags & 4, centred = flags & 8;
                check_case({3, stack, 4, width, 1 + flags % 5, shifted, masked, absolute, centred, 1}, random, rows);
            }
    for (const int threads : {2, 3, 8})
        check_case({21, 3, 8, 20, 6, true, true, false, threads == 3, threads}, random, rows);
}

template <class T>
void check_all_kernels() {
    for (const bool streaming : {false, true})
        for (const RowKernels<T>& rows : usable_kernels<T>(streaming)) check_kernels(rows);
}

void test_an_empty_batch_writes_nothing() {
    const FrameBatch in{0, 3, 4, 4, 0, nullptr, nullptr, nullptr, nullptr, nullptr};
    encoder_inputs(in, EncoderInputs<float>{nullptr, nullptr, nullptr}, offset, false, 2, portable::kernels<float>());
}

void test_a_slot_outside_the_store_is_named_before_anything_is_written() {
    std::mt19937 random(7);
    for (const std::int64_t slot : {std::int64_t{-1}, std::int64_t{4}, INT64_MAX, INT64_MIN}) {
        Fixture<float> fixture({3, 2, 4, 5, 4, false, true, false, false, 2}, random);
        const std::vector<float> before(fixture.stack.data.get(), fixture.stack.data.get() + fixture.stack.count);
        fixture.slots.data[5] = slot;
        std::string message;
        try {
            fixture.run(portable::kernels<float>());
        } catch (const std::invalid_argument& error) {
            message = error.what();
        }
        CHECK(message == "slots[2, 1] must be in [0, 4), is " + std::to_string(slot));
        CHECK(std::memcmp(before.data(), fixture.stack.data.get(), before.size() * sizeof(float)) == 0);
    }
}

void test_only_large_outputs_stream() {
    const FrameBatch in{64, 3, 64, 64, 1, nullptr, nullptr, nullptr, nullptr, nullptr};
    float some;
    CHECK(streams(in, EncoderInputs<float>{&some, &some, nullptr}) == (64 * 64 * 64 * 15 * 4 >= 16 << 20));
    CHECK(!streams(in, EncoderInputs<float>{&some, nullptr, nullptr}));
    CHECK(streams(in, EncoderInputs<float>{&some, nullptr, &some}));
}

}  // namespace

int main() {
    check_all_kernels<float>();
    check_all_kernels<std::uint16_t>();
    test_an_empty_batch_writes_nothing();
    test_a_slot_outside_the_store_is_named_before_anything_is_written();
    test_only_large_outputs_stream();
    std::puts("frames: these kernels agree with the formula:");
    for (const auto& rows : usable_kernels<float>(false)) std::printf("  %s\n", rows.name);
}
