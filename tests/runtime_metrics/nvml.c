/* A small NVML with two GPUs, the second of which tells little: what the real library's functions are called and
 * return, as https://docs.nvidia.com/deploy/nvml-api/ has it. */
#include <stdio.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3 };
typedef struct { unsigned int gpu, memory; } utilization_t;
typedef struct { unsigned long long total, free, used; } memory_t;
static char gpus[2];
#define INDEX(device) ((int)((char *)(device) - gpus))

int nvmlInit_v2(void) { return SUCCESS; }
int nvmlInitWithFlags(unsigned int flags) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int result) { return result == NOT_SUPPORTED ? "Not Supported" : "Success"; }
int nvmlDeviceGetCount_v2(unsigned int *count) { *count = 2; return SUCCESS; }
int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **device) { *device = &gpus[index]; return SUCCESS; }
int nvmlDeviceGetUUID(void *device, char *uuid, unsigned int length) {
    snprintf(uuid, length, "GPU-%d", INDEX(device));
    return SUCCESS;
}
int nvmlDeviceGetName(void *device, char *name, unsigned int length) {
    strncpy(name, "NVIDIA H100", length);
    return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(void *device, memory_t *memory) {
    memory->total = 80ull << 30;
    memory->used = (INDEX(device) + 1) * (20ull << 30);
    memory->free = memory->total - memory->used;
    return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(void *device, utilization_t *rates) {
    if (INDEX(device)) return NOT_SUPPORTED;
    rates->gpu = 37;
    rates->memory = 12;
    return SUCCESS;
}
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules) {
    if (INDEX(device)) return NOT_SUPPORTED;
    *millijoules = 1234500;
    return SUCCESS;
}
int nvmlDeviceGetTemperature(void *device, int sensor, unsigned int *celsius) {
    if (INDEX(device)) return NOT_SUPPORTED;
    *celsius = 61;
    return SUCCESS;
}
