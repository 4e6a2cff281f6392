/*
 * Programs of floating point, SIMD and strings: the same on the host and in a guest without an operating system (start.S). On the
 * host (NATIVE) each line says: name, seconds of the best of some runs, checksum of the first. In the guest each run is
 * between the lines BEGIN name and END name checksum on COM1.
 */
typedef unsigned int u32; typedef unsigned char u8; typedef unsigned long long u64; typedef unsigned long size_t;
#include <emmintrin.h>
#ifdef NATIVE
#include <stdio.h>
#include <string.h>
#include <time.h>
#else
void *memcpy(void *d, const void *s, size_t n){u8*a=d;const u8*b=s;while(n--)*a++=*b++;return d;}
void *memset(void *d, int c, size_t n){u8*a=d;while(n--)*a++=c;return d;}
static inline void outb(int p,u8 v){asm volatile("outb %0,%w1"::"a"(v),"Nd"(p));}
static void puts_(const char*s){while(*s)outb(0x3f8,*s++);}
#endif
static u32 mixbuf(u32 h,const void*p,size_t n){const u8*b=p;for(size_t i=0;i<n;i++){h^=b[i];h*=16777619;}return h;}
#define NI __attribute__((noinline))
static NI u32 b_mandel(void)
{
    u32 s = 0;
    for (int y = 0; y < 256; y++) for (int x = 0; x < 256; x++) {
        double cr = x * 3.0 / 256 - 2.0, ci = y * 2.0 / 256 - 1.0, zr = 0, zi = 0; int i = 0;
        for (; i < 1000; i++) { double a = zr * zr, b = zi * zi; if (a + b > 4.0) break; zi = 2 * zr * zi + ci; zr = a - b + cr; }
        s = s * 31 + i;
    }
    return s;
}
static NI u32 b_nbody(void)
{
    enum { NB = 5 };
    static const double init[NB][7] = {
        { 0, 0, 0, 0, 0, 0, 39.47841760435743 },
        { 4.84143144246472090, -1.16032004402742839, -0.10362204447112311, 0.60632639299583202, 2.81198684491626016, -0.02521836165988763, 0.03769367487038949 },
        { 8.34336671824457987, 4.12479856412430479, -0.40352341711432138, -1.01077434617879236, 1.82566237123041186, 0.00841576137658415, 0.01128632613131968 },
        { 12.8943695621391310, -15.1111514016986312, -0.22330757889265573, 1.08279100644153536, 0.86871301816960822, -0.01083263740136364, 0.00172372405705971 },
        { 15.3796971148509165, -25.9193146099879641, 0.17925877295037118, 0.97909073224389798, 0.59469899864767617, -0.03475595515326165, 0.00203368686992463 } };
    double p[NB][7];
    memcpy(p, init, sizeof p);
    for (int it = 0; it < 400000; it++) {
        for (int i = 0; i < NB; i++) for (int j = i + 1; j < NB; j++) {
            double dx = p[i][0] - p[j][0], dy = p[i][1] - p[j][1], dz = p[i][2] - p[j][2];
            double d2 = dx * dx + dy * dy + dz * dz, mag = 0.001 / (d2 * __builtin_sqrt(d2));
            double mj = p[j][6] * mag, mi = p[i][6] * mag;
            p[i][3] -= dx * mj; p[i][4] -= dy * mj; p[i][5] -= dz * mj;
            p[j][3] += dx * mi; p[j][4] += dy * mi; p[j][5] += dz * mi;
        }
        for (int i = 0; i < NB; i++) { p[i][0] += 0.001 * p[i][3]; p[i][1] += 0.001 * p[i][4]; p[i][2] += 0.001 * p[i][5]; }
    }
    return mixbuf(0, &p[0][0], sizeof(double) * 3);
}
static NI u32 b_x87(void)
{
    long double x = 0.5L, y = 1.0L, z = 0;
    for (int i = 0; i < 6000000; i++) {
        x = 3.6L * x * (1.0L - x);
        y = y * 0.999999L + x / (y + 1.0L);
        z += y - x;
    }
    u8 b[16] = { 0 }; memcpy(b, &z, 10);
    return mixbuf(0, b, 10);
}
static NI u32 b_ssevec(void)
{
    static __m128i a[1024]; static __m128 f[1024];
    for (int i = 0; i < 1024; i++) { a[i] = _mm_set_epi32(i, i * 3, i * 5, i * 7); f[i] = _mm_set1_ps(i * 0.5f); }
    __m128i s = _mm_setzero_si128(); __m128 g = _mm_setzero_ps();
    for (int r = 0; r < 18000; r++) {
        for (int i = 0; i < 1024; i++) {
            __m128i v = a[i];
            s = _mm_add_epi32(s, v);
            s = _mm_xor_si128(s, _mm_shuffle_epi32(v, 0x1b));
            s = _mm_adds_epu8(s, _mm_unpacklo_epi8(v, s));
            s = _mm_max_epi16(s, _mm_srli_epi32(v, 3));
            g = _mm_add_ps(_mm_mul_ps(g, _mm_set1_ps(0.5f)), f[i]);
        }
    }
    u32 o[8]; memcpy(o, &s, 16); memcpy(o + 4, &g, 16);
    return mixbuf(0, o, 32);
}
static double A[96][96], B[96][96], C[96][96];
static NI u32 b_matmul(void)
{
    for (int i=0;i<96;i++) for(int j=0;j<96;j++){A[i][j]=(i*7+j*3)%17*0.25-1.1;B[i][j]=(i*5+j*11)%13*0.5-2.3;}
    for (int r=0;r<100;r++) {
      for (int i=0;i<96;i++) for(int j=0;j<96;j++){double s=0;for(int k=0;k<96;k++)s+=A[i][k]*B[k][j];C[i][j]=s;}
      for (int i=0;i<96;i++) A[i][i]+=C[i][95-i]*1e-3;
    }
    return mixbuf(0,C,sizeof C);
}
static float fr[1024], fi[1024];
static NI u32 b_fft(void)
{
    static float wr[512], wi[512];
    double c=1,s=0,cs=0.99998117528260111,sn=0.0061358846491544753;
    for(int i=0;i<512;i++){wr[i]=c;wi[i]=s;double t=c*cs-s*sn;s=s*cs+c*sn;c=t;}
    u32 h=0;
    for(int rep=0;rep<3000;rep++){
      for(int i=0;i<1024;i++){fr[i]=((i*37+rep)&255)*0.01f-1.0f;fi[i]=0;}
      for(int i=1,j=0;i<1024;i++){int bit=512;for(;j&bit;bit>>=1)j^=bit;j|=bit;if(i<j){float t=fr[i];fr[i]=fr[j];fr[j]=t;}}
      for(int len=2;len<=1024;len<<=1){int hf=len/2,step=1024/len;
        for(int i=0;i<1024;i+=len)for(int k=0;k<hf;k++){
          float a=wr[k*step],b=wi[k*step];int p=i+k,q=p+hf;
          float xr=fr[q]*a-fi[q]*b,xi=fr[q]*b+fi[q]*a;
          fr[q]=fr[p]-xr;fi[q]=fi[p]-xi;fr[p]+=xr;fi[p]+=xi;}}
      h=mixbuf(h,fr,64);
    }
    return h;
}
static double eA(int i,int j){return 1.0/((i+j)*(i+j+1)/2+i+1);}
static NI u32 b_spectral(void)
{
    enum{N=160}; static double u[N],v[N],t[N];
    for(int i=0;i<N;i++)u[i]=1;
    for(int r=0;r<200;r++){
      for(int k=0;k<2;k++){double*x=k?v:u,*y=k?u:v;
      for(int i=0;i<N;i++){t[i]=0;for(int j=0;j<N;j++)t[i]+=eA(i,j)*x[j];}
      for(int i=0;i<N;i++){y[i]=0;for(int j=0;j<N;j++)y[i]+=eA(j,i)*t[j];}}
    }
    return mixbuf(0,u,sizeof u);
}
static float img[130][136], out[130][136];
static NI u32 b_filter(void)
{
    for(int y=0;y<130;y++)for(int x=0;x<136;x++)img[y][x]=((x*y*7+x)&255)*(1/255.0f);
    for(int r=0;r<4000;r++){
      for(int y=1;y<129;y++)for(int x=4;x<132;x+=4){
        __m128 s=_mm_mul_ps(_mm_loadu_ps(&img[y][x]),_mm_set1_ps(0.5f));
        __m128 n=_mm_add_ps(_mm_loadu_ps(&img[y-1][x]),_mm_loadu_ps(&img[y+1][x]));
        __m128 w=_mm_add_ps(_mm_loadu_ps(&img[y][x-1]),_mm_loadu_ps(&img[y][x+1]));
        s=_mm_add_ps(s,_mm_mul_ps(_mm_add_ps(n,w),_mm_set1_ps(0.124f)));
        s=_mm_min_ps(_mm_max_ps(s,_mm_set1_ps(0.0f)),_mm_set1_ps(1.0f));
        _mm_storeu_ps(&out[y][x],s);}
      for(int y=1;y<129;y++)for(int x=4;x<132;x+=4)_mm_storeu_ps(&img[y][x],_mm_loadu_ps(&out[y][x]));
    }
    return mixbuf(0,img,sizeof img);
}
static NI u32 b_ichk(void)
{
    static u8 d[4096]; for(int i=0;i<4096;i++)d[i]=i*i*31+7;
    __m128i a=_mm_setzero_si128(),b=a,c=a; const __m128i one=_mm_set1_epi16(3);
    for(int r=0;r<100000;r++){ for(int i=0;i<4096;i+=16){
      __m128i v=_mm_loadu_si128((void*)(d+i));
      a=_mm_add_epi64(a,_mm_sad_epu8(v,_mm_setzero_si128()));
      b=_mm_add_epi32(b,_mm_madd_epi16(_mm_unpacklo_epi8(v,a),one));
      b=_mm_xor_si128(b,_mm_slli_epi32(a,3));
      c=_mm_add_epi64(c,_mm_mul_epu32(b,v));
      c=_mm_xor_si128(c,_mm_packs_epi16(v,b));
      if(_mm_movemask_epi8(_mm_cmpeq_epi8(v,c))==0xffff) a=_mm_add_epi8(a,one);
    } a=_mm_srli_epi64(a,1);}
    u32 o[12];memcpy(o,&a,16);memcpy(o+4,&b,16);memcpy(o+8,&c,16);return mixbuf(0,o,48);
}
static inline void fcw(unsigned short w){asm volatile("fldcw %0"::"m"(w));}
static NI u32 poly(void)
{
    static const long double k[8]={1.0L,-0.5L,0.3333L,-0.25L,0.2L,-0.16667L,0.142857L,-0.125L};
    long double s=0,x=0.001L;
    for(int i=0;i<4000000;i++){ long double p=k[7]; for(int j=6;j>=0;j--)p=p*x+k[j]; s+=p; x+=0.0000002L; }
    u8 b[16]={0};memcpy(b,&s,10);return mixbuf(0,b,10);
}
static NI u32 b_polyx(void){fcw(0x37f);return poly();}
static NI u32 b_polyd(void){fcw(0x27f);u32 r=poly();fcw(0x37f);return r;}
/* doubles in memory on the x87, as 32-bit code has them */
static NI u32 b_dot387(void)
{
    static double a[512],b[512]; for(int i=0;i<512;i++){a[i]=i*0.37-40;b[i]=1.0/(i+1);}
    double s=0; long double t=0; fcw(0x27f);
    for(int r=0;r<40000;r++){ for(int i=0;i<512;i++){ t+=(long double)a[i]*(long double)b[i]; } s=t; t=s*0.5; if(t>1e6L)t=0; }
    fcw(0x37f);
    return mixbuf(0,&s,8);
}
static NI u32 b_repshort(void)
{
    static u8 x[4096],y[4096]; u32 h=1;
    for(int i=0;i<300000;i++){ size_t n=16+(i*37&127); void*d=y+(i*13&1023); const void*s=x+(i*7&1023); asm volatile("rep movsb":"+D"(d),"+S"(s),"+c"(n)::"memory"); }
    for(int i=0;i<300000;i++){ size_t n=2+(i*5&15); void*d=x+(i*13&1023); asm volatile("rep stosq":"+D"(d),"+c"(n):"a"((u64)i*0x9e3779b97f4a7c15ull):"memory"); }
    return mixbuf(h,y,4096);
}
static NI u32 b_replong(void)
{
    static u8 x[65536],y[65536]; 
    for(int i=0;i<20000;i++){ size_t n=8192; void*d=y+(i*131&32767); const void*s=x+(i*77&32767); asm volatile("rep movsq":"+D"(d),"+S"(s),"+c"(n)::"memory"); n=65536; d=x; asm volatile("rep stosb":"+D"(d),"+c"(n):"a"(i):"memory"); }
    return mixbuf(0,y,65536);
}
static NI u32 b_scas(void)
{
    static u8 x[8192],y[8192]; u32 h=0; for(int i=0;i<8191;i++)x[i]=y[i]=1+(i%250); x[8191]=y[8191]=0;
    for(int i=0;i<20000;i++){ size_t n=~0ul; void*d=x+(i*97&8191); asm volatile("repne scasb":"+D"(d),"+c"(n):"a"(0):"memory","cc"); h+=n;
      n=8192-(i&255); d=x+(i&127); const void*s=y+(i&127); asm volatile("repe cmpsb":"+D"(d),"+S"(s),"+c"(n)::"memory","cc"); h=h*3+n; }
    return h;
}
static const struct {
    const char *name;
    u32 (*run)(void);
} programs[] = {
    { "mandel", b_mandel }, { "nbody", b_nbody }, { "matmul", b_matmul }, { "spectral", b_spectral }, { "fft", b_fft },
    { "filter", b_filter }, { "ssevec", b_ssevec }, { "checksum", b_ichk }, { "x87", b_x87 }, { "polynomial", b_polyx },
    { "polynomial-double", b_polyd }, { "dot-product", b_dot387 }, { "rep-short", b_repshort }, { "rep-long", b_replong },
    { "rep-scan", b_scas },
};
#define PROGRAMS (sizeof programs / sizeof *programs)
#ifndef RUNS
#define RUNS 3
#endif

#ifdef NATIVE
int main(void)
{
    for (unsigned k = 0; k < PROGRAMS; k++) {
        double best = 1e9;
        u32 first = 0;
        for (int run = 0; run < RUNS; run++) {
            struct timespec from, to;
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
            u32 sum = programs[k].run();
            clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
            if (run == 0)
                first = sum;
            double seconds = to.tv_sec - from.tv_sec + (to.tv_nsec - from.tv_nsec) * 1e-9;
            if (seconds < best)
                best = seconds;
        }
        printf("%s %.6f %08x\n", programs[k].name, best, first);
    }
}
#else
static void say(const char *what, const char *name, const u32 *sum)
{
    puts_(what);
    puts_(name);
    if (sum) {
        char digits[10] = " ";
        for (int i = 0; i < 8; i++)
            digits[i + 1] = "0123456789abcdef"[*sum >> (28 - 4 * i) & 15];
        puts_(digits);
    }
    puts_("\n");
}

/* ONLY: the names of programs, each between spaces. */
#ifndef ONLY
#define ONLY 0
#endif
static int wanted(const char *name)
{
    const char *only = ONLY;
    if (!only)
        return 1;
    for (; *only; only++) {
        const char *a = only, *b = name;
        while (*b && *a == *b)
            a++, b++;
        if (!*b && *a == ' ' && only[-1] == ' ')
            return 1;
    }
    return 0;
}

void kmain(void)
{
    for (unsigned k = 0; k < PROGRAMS; k++) {
        if (!wanted(programs[k].name))
            continue;
        for (int run = 0; run < RUNS; run++) {
            say("BEGIN ", programs[k].name, 0);
            u32 sum = programs[k].run();
            say("END ", programs[k].name, &sum);
        }
    }
    puts_("DONE\n");
}
#endif
