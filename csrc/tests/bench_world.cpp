// Reference drivers and tick rates of the world: bench_world [blind episodes] [privileged episodes]
#include "reference_drivers.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

using namespace semore::driving;

namespace {

struct Named {
    std::string name;
    Driver driver;
};

std::vector<Named> blind_drivers() {
    std::vector<Named> drivers{{"do nothing", do_nothing()}, {"full throttle", full_throttle()}};
    for (float amplitude : {0.05f, 0.1f, 0.25f})
        for (float period_s : {1.0f, 1.5f, 2.0f, 3.0f, 4.0f})
            for (float phase : {0.0f, 1.5708f})
                drivers.push_back({"weave " + std::to_string(amplitude).substr(0, 4) + " period " +
                                       std::to_string(period_s).substr(0, 3) + (phase > 0 ? " cosine" : " sine"),
                                   weave(amplitude, period_s, phase)});
    for (float share : {0.6f, 0.65f, 0.7f, 0.75f, 0.8f, 0.9f, 0.95f})
        drivers.push_back({"pulse " + std::to_string(share).substr(0, 4), pulse(share)});
    for (float offset : {-0.6f, 0.0f, 0.3f, 0.4f, 0.5f, 0.6f, 0.7f, 0.8f, 1.0f, 1.2f})
        drivers.push_back({"keep offset " + std::to_string(offset).substr(0, 4), keep_offset(offset)});
    return drivers;
}

void report(const char* scenario, const ScenarioConfig& config, const Named& named, int episodes) {
    const std::clock_t start = std::clock();
    const Drives d = drive(config, named.driver, episodes);
    const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
    std::printf(
        "%s | %-26s | n %4d | return %6.1f +- %4.1f | distance %6.1f | crash %6.0f | hits %5.2f | by collision %4.2f | "
        "steer %4.1f %% | brake %4.1f %% | %.0f ticks/s\n",
        scenario, named.name.c_str(), d.episodes, d.episode_return, d.standard_error, d.distance_m, d.crash_ns, d.hits,
        d.ended_by_collision, 100 * d.steer, 100 * d.brake, d.frames * d.episodes / seconds);
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
    const int blind_episodes = argc > 1 ? std::atoi(argv[1]) : 400;
    const int privileged_episodes = argc > 2 ? std::atoi(argv[2]) : 200;
    const char* names[3] = {"jw", "hb", "hw"};
    const ScenarioConfig configs[3] = {jaywalk(), highbeam(), highway()};
    for (int i = 0; i < 3; ++i) {
        for (const Named& named : blind_drivers()) report(names[i], configs[i], named, blind_episodes);
        if (privileged_episodes > 0) report(names[i], configs[i], {"privileged", privileged()}, privileged_episodes);
    }
}
