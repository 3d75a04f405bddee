// Everything the encoders eat, from uint8 frames in one pass: the C++ twin of semore.ops.encoder_inputs. The same
// inputs give the same bytes. Frames are read where they lie, for instance in the replay ring.
#pragma once

#include "frames_rows.hpp"
#include "stream_copy.hpp"
#include "worker_pool.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define SEMORE_FRAMES_X86 1
#include "frames_avx2.hpp"
#include "frames_vbmi.hpp"
#else
#define SEMORE_FRAMES_X86 0
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <optional>
#include <vector>

namespace semore {

struct FrameBatch {
    std::int64_t batch, stack, height, width;
    std::int64_t held;           // frames in the store
    const std::uint8_t* frames;  // [held, 3, height, width]
    const std::uint8_t* masks;   // [held, height, width], or null where nothing masked is wanted
    const std::int64_t* slots;   // [batch, stack], oldest first; the mask is the newest's
    const std::int64_t* shift;   // [batch, 2] rows and columns, or null for none
    const std::uint8_t* centre;  // [3, height, width], or null for an offset

    std::int64_t plane_bytes() const { return height * width; }
    const std::uint8_t* plane(std::int64_t sample, std::int64_t plane) const {
        return frames + (3 * slots[sample * stack + plane / 3] + plane % 3) * plane_bytes();
    }
    const std::uint8_t* mask(std::int64_t sample) const {
        return masks + slots[(sample + 1) * stack - 1] * plane_bytes();
    }
};

// Channels last: [batch, height, width, channels]; null for what is not wanted. T as in RowKernels.
template <class T>
struct EncoderInputs {
    T* stack;     // 3 * stack channels
    T* residual;  // 3 * (stack - 1) channels, newest first
    T* masked;    // 3 * stack channels
};

// All that this processor runs, the fastest last. Streaming ones bypass the cache where they can.
template <class T>
std::vector<RowKernels<T>> usable_kernels(bool streaming) {
    std::vector<RowKernels<T>> usable{portable::kernels<T>()};
#if SEMORE_FRAMES_X86
    if (!__builtin_cpu_supports("avx2")) return usable;
    usable.push_back(streaming ? avx2::kernels<T, true>() : avx2::kernels<T, false>());
    const bool vbmi = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vbmi");
    if (vbmi) usable.push_back(streaming ? vbmi::kernels<T, true>() : vbmi::kernels<T, false>());
#endif
    return usable;
}

inline void prefetch_line(const std::uint8_t* address) {
#if defined(__GNUC__)
    __builtin_prefetch(address, 0, 2);  // into the second cache: a whole sample is more than the first holds
#else
    static_cast<void>(address);
#endif
}

// Makes rows of one sample after another. Owns what a thread needs for it.
template <class T>
class InputWriter {
public:
    InputWriter(const FrameBatch& in, const EncoderInputs<T>& out, const RowPlan<T>& plan, const RowKernels<T>& rows)
        : in_(in), out_(out), plan_(plan), rows_(rows), channels_(plan.channels), sources_(channels_ + 4),
          coming_(channels_), planes_(channels_ + 4), newest_first_(channels_), centre_(channels_),
          room_(Move::room_bytes(in.width) * (channels_ + 4) + pixel_block),
          pixels_(whole_blocks(in.width) * channels_ + 2 * pixel_block), newer_(pixels_.size()),
          other_(pixels_.size()), centred_on_(in.centre ? pixels_.size() : 0) {}

    // `next` is the sample that will be written after this one, or this one.
    void write(std::int64_t sample, std::int64_t next) {
        for (std::int64_t plane = 0; plane < channels_; ++plane) {
            sources_[plane] = in_.plane(sample, plane);
            coming_[plane] = in_.plane(next, plane);
        }
        moving_ = channels_;
        if (in_.centre)
            for (std::int64_t colour = 0; colour < 3; ++colour)
                sources_[moving_++] = in_.centre + colour * in_.plane_bytes();
        if (out_.masked) sources_[moving_++] = in_.mask(sample);
        const std::int64_t* shift = in_.shift ? in_.shift + 2 * sample : nullptr;
        // Beyond a whole picture there is nothing but its border.
        const std::int64_t down = shift ? std::clamp(shift[0], -in_.height, in_.height) : 0;
        const std::int64_t right = shift ? std::clamp(shift[1], -in_.width, in_.width) : 0;
        for (std::int64_t row = 0; row < in_.height; ++row) {
            if (next != sample) prefetch_row(row * in_.width);
            const std::int64_t source_row = std::clamp<std::int64_t>(row + down, 0, in_.height - 1);
            write_row(sample * in_.plane_bytes() + row * in_.width, source_row * in_.width, right);
        }
    }

private:
    // A sample's frames lie anywhere, each plane a stream of its own: more than the processor foresees.
    void prefetch_row(std::int64_t from) const {
        constexpr std::int64_t line_bytes = 64;
        for (const std::uint8_t* plane : coming_)
            for (std::int64_t at = from; at < from + in_.width; at += line_bytes) prefetch_line(plane + at);
    }

    // The row of pixels from number `pixel` of the output on, out of those from number `from` of each plane on.
    void write_row(std::int64_t pixel, std::int64_t from, std::int64_t right) {
        const Move move{from, in_.width, right, aligned_room()};
        rows_.move(sources_.data(), moving_, move, planes_.data());
        for (std::int64_t plane = 0; plane < channels_; ++plane) {
            newest_first_[plane] = planes_[channels_ - 3 - plane / 3 * 3 + plane % 3];
            if (in_.centre) centre_[plane] = planes_[channels_ + plane % 3];
        }
        const Row row{in_.width,       planes_.data(), newest_first_.data(), centre_.data(),     planes_[moving_ - 1],
                      pixels_.data(), newer_.data(),  other_.data(),        centred_on_.data()};
        (in_.centre ? rows_.centred : rows_.stack)(row, plan_, out_.stack + pixel * channels_);
        if (out_.masked) {
            T* const masked = out_.masked + pixel * channels_;
            (in_.centre ? rows_.centred_masked : rows_.masked)(row, plan_, masked);
        }
        if (out_.residual) rows_.residual(row, plan_, out_.residual + pixel * (channels_ - 3));
    }

    std::uint8_t* aligned_room() {
        const auto over = reinterpret_cast<std::uintptr_t>(room_.data()) % pixel_block;
        return room_.data() + (pixel_block - over) % pixel_block;
    }

    const FrameBatch& in_;
    const EncoderInputs<T>& out_;
    const RowPlan<T>& plan_;
    const RowKernels<T>& rows_;
    std::int64_t channels_, moving_ = 0;
    std::vector<const std::uint8_t*> sources_, coming_;  // planes of this sample, centre and mask last, and of the next
    std::vector<const std::uint8_t*> planes_, newest_first_, centre_;  // the row of each, moved
    std::vector<std::uint8_t> room_, pixels_, newer_, other_, centred_on_;
};

// Throws std::invalid_argument for a slot outside the store.
inline void check_slots(const FrameBatch& in) {
    for (std::int64_t at = 0; at < in.batch * in.stack; ++at)
        if (in.slots[at] < 0 || in.slots[at] >= in.held)
            throw std::invalid_argument("slots[" + std::to_string(at / in.stack) + ", " +
                                        std::to_string(at % in.stack) + "] must be in [0, " +
                                        std::to_string(in.held) + "), is " + std::to_string(in.slots[at]));
}

// Whether so many values would only push everything else out of the caches.
template <class T>
bool streams(const FrameBatch& in, const EncoderInputs<T>& out) {
    constexpr std::int64_t least_bytes = 16 << 20;
    const std::int64_t frames = in.stack * (out.masked ? 2 : 1) + (out.residual ? in.stack - 1 : 0);
    return in.batch * in.plane_bytes() * 3 * frames * static_cast<std::int64_t>(sizeof(T)) >= least_bytes;
}

// Writes what `out` asks for on `threads` threads. `absolute` is about the residual. Slots are checked before anything
// is read.
template <class T>
void encoder_inputs(const FrameBatch& in, const EncoderInputs<T>& out, float offset, bool absolute, int threads,
                    const RowKernels<T>& rows) {
    constexpr std::int64_t chunk = 4;
    if (in.batch == 0 || in.stack == 0 || in.height == 0 || in.width == 0) return;
    check_slots(in);
    const RowPlan<T> plan(in.stack, offset, absolute);
    WorkerPool& pool = pool_of_this_thread(threads);
    std::vector<std::optional<InputWriter<T>>> writers(pool.threads());
    pool.run(in.batch, chunk, [&](std::int64_t begin, std::int64_t end, int worker) {
        if (!writers[worker]) writers[worker].emplace(in, out, plan, rows);
        for (std::int64_t sample = begin; sample < end; ++sample)
            writers[worker]->write(sample, std::min(sample + 1, end - 1));
        stream_fence();
    });
}

}  // namespace semore
