// Everything the encoders eat, from uint8 frames in one pass: the C++ twin of semore.ops.encoder_inputs. The same
// inputs give the same bytes.
#pragma once

#include "frames_rows.hpp"
#include "worker_pool.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define SEMORE_FRAMES_X86 1
#include "frames_avx2.hpp"
#else
#define SEMORE_FRAMES_X86 0
#endif

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace semore {

struct FrameBatch {
    std::int64_t batch, stack, height, width;
    // [batch, stack, 3, height, width], oldest first; planes of a frame follow each other without gaps.
    const std::uint8_t* frames;
    std::int64_t sample_stride_bytes, frame_stride_bytes;
    const std::int64_t* shift;  // [batch, 2] rows and columns, or null for none
    const std::uint8_t* mask;   // [batch, height, width], or null where nothing masked is wanted
};

// Channels last: [batch, height, width, channels]; null for what is not wanted. T as in RowKernels.
template <class T>
struct EncoderInputs {
    T* stack;     // 3 * stack channels
    T* residual;  // 3 * (stack - 1) channels, newest first
    T* masked;    // 3 * stack channels
};

// The fastest kernels this processor runs.
template <class T>
RowKernels<T> best_kernels() {
#if SEMORE_FRAMES_X86
    if (__builtin_cpu_supports("avx2")) return avx2::kernels<T>();
#endif
    return portable::kernels<T>();
}

// Makes rows of one sample after another. Owns what a thread needs for it.
template <class T>
class InputWriter {
public:
    InputWriter(const FrameBatch& in, const EncoderInputs<T>& out, float offset, bool absolute,
                const RowKernels<T>& rows)
        : in_(in), out_(out), offset_(offset), absolute_(absolute), rows_(rows), shuffles_(3 * in.stack),
          change_shuffles_(3 * (in.stack - 1)), padded_(whole_blocks(in.width)), planes_(3 * in.stack),
          newer_(3 * (in.stack - 1)), older_(newer_.size()), shifted_((planes_.size() + 1) * shifted_bytes()),
          pixels_(padded_ * planes_.size()), other_(pixels_.size()) {}

    void write(std::int64_t sample) {
        const std::int64_t* shift = in_.shift ? in_.shift + 2 * sample : nullptr;
        // Beyond a whole picture there is nothing but its border.
        const std::int64_t down = shift ? std::clamp(shift[0], -in_.height, in_.height) : 0;
        const std::int64_t right = shift ? std::clamp(shift[1], -in_.width, in_.width) : 0;
        for (std::int64_t row = 0; row < in_.height; ++row)
            write_row(sample, row, std::clamp<std::int64_t>(row + down, 0, in_.height - 1), right);
    }

private:
    static constexpr std::int64_t piece = 16;  // rows are short: pieces of a fixed size beat calls of memcpy, memset

    // A row with its border repeated on either side by up to a width, and room for a last piece or block after that.
    std::int64_t shifted_bytes() const { return piece + 2 * in_.width + padded_ + piece; }

    // The row moved by `right` pixels: out[x] = source[x + right], clamped.
    const std::uint8_t* shifted(const std::uint8_t* source, std::int64_t right, std::int64_t slot) {
        std::uint8_t* const at = shifted_.data() + slot * shifted_bytes() + piece + in_.width;
        std::int64_t x = 0;
        for (; x + piece <= in_.width; x += piece) std::memcpy(at + x, source + x, piece);
        for (; x < in_.width; ++x) at[x] = source[x];
        for (x = 0; x < right; x += piece) std::memset(at + in_.width + x, source[in_.width - 1], piece);
        for (x = 0; x > right; x -= piece) std::memset(at + x - piece, source[0], piece);
        return at + right;
    }

    void write_row(std::int64_t sample, std::int64_t row, std::int64_t source_row, std::int64_t right) {
        const std::int64_t plane_bytes = in_.height * in_.width, channels = 3 * in_.stack;
        const std::uint8_t* source = in_.frames + sample * in_.sample_stride_bytes + source_row * in_.width;
        for (std::int64_t frame = 0; frame < in_.stack; ++frame)
            for (std::int64_t colour = 0; colour < 3; ++colour)
                planes_[3 * frame + colour] = shifted(
                    source + frame * in_.frame_stride_bytes + colour * plane_bytes, right, 3 * frame + colour);
        const std::int64_t pixel = sample * plane_bytes + row * in_.width;
        rows_.interleave(planes_.data(), in_.width, shuffles_, pixels_.data());
        rows_.scale(pixels_.data(), in_.width * channels, offset_, out_.stack + pixel * channels);
        if (out_.masked) {
            const std::uint8_t* mask = in_.mask + sample * plane_bytes + source_row * in_.width;
            rows_.repeat(shifted(mask, right, channels), in_.width, shuffles_, other_.data());
            rows_.scale_masked(pixels_.data(), other_.data(), in_.width * channels, offset_,
                               out_.masked + pixel * channels);
        }
        if (out_.residual) write_residual(out_.residual + pixel * (channels - 3));
    }

    void write_residual(T* out) {
        const std::int64_t last = in_.stack - 1;
        for (std::int64_t change = 0; change < last; ++change)
            for (std::int64_t colour = 0; colour < 3; ++colour) {
                newer_[3 * change + colour] = planes_[3 * (last - change) + colour];
                older_[3 * change + colour] = planes_[3 * (last - change - 1) + colour];
            }
        rows_.interleave(newer_.data(), in_.width, change_shuffles_, pixels_.data());
        rows_.interleave(older_.data(), in_.width, change_shuffles_, other_.data());
        rows_.difference(pixels_.data(), other_.data(), in_.width * 3 * last, absolute_, out);
    }

    FrameBatch in_;
    EncoderInputs<T> out_;
    float offset_;
    bool absolute_;
    RowKernels<T> rows_;
    Shuffles shuffles_, change_shuffles_;
    std::int64_t padded_;
    std::vector<const std::uint8_t*> planes_, newer_, older_;
    std::vector<std::uint8_t> shifted_, pixels_, other_;
};

// Writes what `out` asks for, the batch divided among `threads`. `absolute` is about the residual.
template <class T>
void encoder_inputs(const FrameBatch& in, const EncoderInputs<T>& out, float offset, bool absolute, int threads,
                    const RowKernels<T>& rows) {
    if (in.batch == 0 || in.stack == 0 || in.height == 0 || in.width == 0) return;
    const std::int64_t parts = std::clamp<std::int64_t>(threads, 1, in.batch);
    std::vector<InputWriter<T>> writers(parts, InputWriter<T>(in, out, offset, absolute, rows));
    const auto write_part = [&](std::int64_t part) {
        for (std::int64_t sample = in.batch * part / parts; sample < in.batch * (part + 1) / parts; ++sample)
            writers[part].write(sample);
    };
    WorkerPool pool(static_cast<int>(parts));
    pool.run(parts, 1, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t part = begin; part < end; ++part) write_part(part);
    });
}

}  // namespace semore
