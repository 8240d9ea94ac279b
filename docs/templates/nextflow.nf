// A pipeline of Nextflow: n processes, each of which takes every n-th shard of a plan.
//   nextflow run docs/templates/nextflow.nf --root s3://bucket/batch --jobs 100 -resume
params.root = 'batch'
params.jobs = 10

process read_pages {
    cpus 4
    memory '8 GB'
    errorStrategy 'retry'
    maxRetries 10

    input:
    val job

    output:
    val job

    script:
    """
    export OMP_NUM_THREADS=1
    ecg-hough batch run "${params.root}" --shard ${job}/${params.jobs} --workers ${task.cpus}
    """
}

process report {
    input:
    val jobs

    script:
    """
    ecg-hough batch report "${params.root}"
    """
}

workflow {
    report(read_pages(Channel.of(0..<params.jobs)).collect())
}
